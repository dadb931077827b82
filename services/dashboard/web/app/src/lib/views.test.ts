import { beforeEach, expect, test, vi } from "vitest";
import { clean, filtersOf } from "./search";
import { builtIns, isView, removeView, saveView, viewSearch, views } from "./views";

let kept: Record<string, string>;
beforeEach(() => {
  kept = {};
  vi.stubGlobal("localStorage", { getItem: (k: string) => kept[k] ?? null, setItem: (k: string, v: string) => void (kept[k] = v) });
});

test("a view is kept for its tenant, without the open trace", () => {
  saveView("acme", " mine ", { range: "1h", model: ["a"], trace: "t", tab: "request", tenant: "acme" });
  expect(views("acme")).toEqual([{ name: "mine", query: "?range=1h&model=a" }]);
  expect(views("other")).toEqual([]);
  saveView("acme", "mine", { range: "7d" });
  expect(views("acme")).toEqual([{ name: "mine", query: "?range=7d" }]);
  expect(removeView("acme", "mine")).toEqual([]);
});

test("what is kept is checked", () => {
  for (const bad of ["{", "7", '[{"name":1},null]']) {
    kept["loom-views:acme"] = bad;
    expect(views("acme")).toEqual([]);
  }
  vi.stubGlobal("localStorage", undefined);
  expect(views("acme")).toEqual([]);
  expect(saveView("acme", "x", {})).toHaveLength(1);
});

test("going to a view leaves nothing of the filters before", () => {
  const now = { range: "1h" as const, status: "error" as const, provider: ["p"] };
  expect(clean({ ...now, ...viewSearch({ name: "v", query: "?range=7d&model=a&bad=1" }) })).toEqual({ range: "7d", model: ["a"] });
});

test("built-in views follow the window", () => {
  const of = (m: Parameters<typeof builtIns>[0]) => Object.fromEntries(builtIns(m).map((v) => [v.name, filtersOf(clean({ ...v.filters }))]));
  expect(of({ p95: 1234.5, requests: 1000, cost: "2.5" })).toEqual({
    Errors: { status: "error" },
    Slow: { min_latency_ms: 1234 },
    Expensive: { min_cost_usd: "0.013" },
    Fallbacks: { retried: true },
    Unpriced: { cost_status: ["unpriced"] },
  });
  expect(Object.keys(of({ p95: null, requests: 0, cost: null }))).toEqual(["Errors", "Fallbacks", "Unpriced"]);
  expect(of({ p95: 1, requests: 1e6, cost: "0.001" }).Expensive).toEqual({ min_cost_usd: "0.000000005" });
});

test("a view is on when its filters are, and no others", () => {
  const [errors] = builtIns({ p95: null, requests: 0, cost: null });
  expect(isView({ range: "1h", status: "error" }, errors!.filters)).toBe(true);
  expect(isView({ status: "error", model: ["a"] }, errors!.filters)).toBe(false);
});
