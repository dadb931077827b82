import { describe, expect, test } from "vitest";
import { added, applied, carried, clean, filtered, filtersOf, nameable, noFilters, parse, stringify, toggled, type Search, withoutFilters } from "./search";

const roundTrip = (s: Search) => clean(parse(stringify({ ...s })));

describe("the URL holds the state", () => {
  test.each<Search>([
    {},
    { range: "1h", status: "error" },
    { from: "2026-11-22T10:00:00.000Z", to: "2026-11-22T11:00:00.000Z" },
    { model: ["gpt-5", "a&b=c d/é%"], provider: ["openai"], key: ["key_1"], outcome: ["failed", "canceled"] },
    { tag: ["env:prod", "url:http://a"], session: ["s 1"], http_status: [429, 0], cost_status: ["unpriced"], by: "tag:team & co" },
    { stream: true, cached: false, retried: true, min_cost_usd: "0.05", min_latency_ms: 1500 },
    { sort: "-cost", a: "", b: "window=before&model=a b" },
    { range: "7d", by: "key", metric: "tokens", trace: "0196e1d2-7c8b-7d6a-9f00-5a1b2c3d4e5f", tab: "metadata", tenant: "acme" },
  ])("%j", (s) => expect(roundTrip(s)).toEqual(s));

  test("in a form that people can write", () => {
    expect(stringify({ range: "1h", model: ["a", "b"] })).toBe("?range=1h&model=a&model=b");
    expect(stringify({})).toBe("");
  });
});

describe("what a URL may say is checked", () => {
  test.each<[string, string, Search]>([
    ["unknown names", "?nope=1&__proto__=x", {}],
    ["unknown values", "?range=2h&by=moon&status=maybe&outcome=lost", {}],
    ["half a window", "?from=2026-11-22T10:00:00Z", {}],
    ["a window that ends before it starts", "?from=2026-11-22T10:00:00Z&to=2026-11-22T09:00:00Z", {}],
    ["times that are none", "?from=yesterday&to=2026-13-99T00:00:00Z", {}],
    ["a window and a range", "?range=1h&from=2026-11-22T10:00:00Z&to=2026-11-22T11:00:00Z", { from: "2026-11-22T10:00:00.000Z", to: "2026-11-22T11:00:00.000Z" }],
    ["the default range", "?range=24h", {}],
    ["empty and repeated values", "?model=&model=a&model=a", { model: ["a"] }],
    ["numbers and flags that are none", "?min_latency_ms=fast&min_cost_usd=1e3&stream=maybe&http_status=ok&http_status=600&cost_status=free", {}],
    ["a latency beyond a day", "?min_latency_ms=86400001", {}],
    ["a tag without a name", "?tag=prod&tag=:prod&tag=env:", { tag: ["env:"] }],
    ["a grouping without a name", "?by=tag:", {}],
    ["a column that is none", "?sort=a+b&a=" + "x".repeat(2049), {}],
    ["too long an id", "?trace=" + "x".repeat(65), {}],
  ])("%s", (_, query, want) => expect(clean(parse(query))).toEqual(want));

  test("more values than the API takes", () => {
    const query = Array.from({ length: 30 }, (_, i) => `model=m${i}`).join("&");
    expect(clean(parse(query)).model).toHaveLength(20);
  });
});

test("window and filters follow to the next page, the open trace does not", () => {
  expect(carried({ range: "1h", model: ["a"], tenant: "acme", trace: "t", tab: "request" })).toEqual({ range: "1h", model: ["a"], tenant: "acme" });
});

test("filters are added and taken away", () => {
  expect(toggled(undefined, "a")).toEqual(["a"]);
  expect(toggled(["a"], "b")).toEqual(["a", "b"]);
  expect(toggled(["a"], "a")).toBeUndefined();
  const s: Search = { range: "1h", model: ["a"], status: "error" };
  expect(filtered(s)).toBe(true);
  expect(filtered(withoutFilters(s))).toBe(false);
  expect(withoutFilters(s)).toEqual({ range: "1h" });
  expect(filtersOf(s)).toEqual({ model: ["a"], status: "error" });
  expect(clean({ ...s, ...noFilters })).toEqual({ range: "1h" });
  expect(added(s, "model", "a")).toEqual({});
  expect(added(s, "model", "b")).toEqual({ model: ["a", "b"] });
});

test("what is filtered by is told value by value, each with a way to take it away", () => {
  const s: Search = { range: "1h", model: ["a", "b"], http_status: [429], retried: true, min_latency_ms: 5 };
  expect(applied(s)).toEqual([
    { name: "model", value: "a", without: { model: ["b"] } },
    { name: "model", value: "b", without: { model: ["a"] } },
    { name: "http_status", value: "429", without: { http_status: undefined } },
    { name: "retried", value: "true", without: { retried: undefined } },
    { name: "min_latency_ms", value: "5", without: { min_latency_ms: undefined } },
  ]);
  expect(applied({ range: "1h" })).toEqual([]);
});

test("a filter can name a tag without a colon in its name", () => {
  expect(nameable("env")).toBe(true);
  expect(nameable("a:b")).toBe(false);
});
