import { describe, expect, test } from "vitest";
import { ofModel, question, scopeOf, side, sideText } from "./compare";

const page = { from: "2026-11-02T00:00:00.000Z", to: "2026-11-03T00:00:00.000Z", filters: { key: ["k1"], model: ["gpt-5"] } };
const asked = (text: string) => question(scopeOf(side(text, page.to), page));

describe("a side", () => {
  test.each([
    ["says nothing: the page's", "", "from=2026-11-02T00:00:00.000Z&to=2026-11-03T00:00:00.000Z&key=k1&model=gpt-5"],
    ["before", "window=before", "from=2026-11-01T00:00:00.000Z&to=2026-11-02T00:00:00.000Z&key=k1&model=gpt-5"],
    ["of a model", ofModel("acme", "a b&c"), "from=2026-11-02T00:00:00.000Z&to=2026-11-03T00:00:00.000Z&key=k1&model=a+b%26c&provider=acme"],
    ["with a relative window", "range=24h&status=ok", "from=2026-11-02T00:00:00.000Z&to=2026-11-03T00:00:00.000Z&key=k1&model=gpt-5&status=ok"],
    [
      "with a window of its own",
      "from=2026-10-01T00:00:00Z&to=2026-10-02T00:00:00Z&model=x&model=y",
      "from=2026-10-01T00:00:00.000Z&to=2026-10-02T00:00:00.000Z&key=k1&model=x&model=y",
    ],
    ["of nonsense: the page's", "range=9y&window=after&from=x&status=maybe", "from=2026-11-02T00:00:00.000Z&to=2026-11-03T00:00:00.000Z&key=k1&model=gpt-5"],
  ])("%s", (_, text, want) => expect(Object.fromEntries(group(asked(text)))).toEqual(Object.fromEntries(group(want))));

  test.each(["", "window=before", "provider=acme&model=m", "from=2026-10-01T00:00:00.000Z&to=2026-10-02T00:00:00.000Z"])("%s is written as it was read", (text) =>
    expect(new URLSearchParams(sideText(side(text, page.to))).toString()).toBe(new URLSearchParams(sortedLike(text)).toString()),
  );
});

/** group sorts the parameters by name: their order means nothing. */
const group = (q: string): [string, string[]][] => [...new Set(new URLSearchParams(q).keys())].sort().map((k) => [k, new URLSearchParams(q).getAll(k)]);

/** sortedLike is the order in which filters are written. */
const sortedLike = (text: string) => [...new URLSearchParams(text)].sort(([a], [b]) => rank(a) - rank(b));
const rank = (name: string) => ["model", "provider", "from", "to", "window"].indexOf(name);
