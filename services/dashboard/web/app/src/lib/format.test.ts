import { describe, expect, test } from "vitest";
import { ago, bytes, change, compact, int, ms, msTick, percent, usd, usdTick } from "./format";

describe("unknown is never zero", () => {
  test.each([
    ["usd", usd(null)],
    ["usd of no text", usd("")],
    ["usd of other text", usd("free")],
    ["ms", ms(null)],
    ["int", int(undefined)],
    ["compact", compact(null)],
    ["percent", percent(null)],
    ["bytes", bytes(null)],
  ])("%s", (_, got) => expect(got).toBe("–"));
});

test.each([
  [0, "$0.00"],
  ["0.000000000001", "< $0.00001"],
  ["0.00119", "$0.00119"],
  [0.0289, "$0.029"],
  ["1.5", "$1.50"],
  [47.009, "$47.01"],
  ["12345.678", "$12,345.68"],
])("usd(%s)", (value, want) => expect(usd(value)).toBe(want));

test.each([
  [0, "0 ms"],
  [0.4, "< 1 ms"],
  [745.4, "745 ms"],
  [999.6, "1.00 s"],
  [2334, "2.33 s"],
  [13_620, "13.6 s"],
  [184_000, "3 min 4 s"],
])("ms(%d)", (value, want) => expect(ms(value)).toBe(want));

test("axes are short", () => {
  expect([0, 0.5, 12, 2500].map(usdTick)).toEqual(["$0", "$0.5", "$12", "$2.5K"]);
  expect([0, 250, 20_000].map(msTick)).toEqual(["0", "250 ms", "20 s"]);
  expect([79, 1790, 25_200_000].map(compact)).toEqual(["79", "1.79K", "25.2M"]);
});

test("a change needs something to compare with", () => {
  expect(change(12, 10)).toBeCloseTo(0.2);
  expect(change(12, 0)).toBeNull();
  expect(change(null, 10)).toBeNull();
});

test.each([
  [0, "0 s"],
  [12_400, "12 s"],
  [60_000, "1 min"],
  [7_300_000, "2 h"],
  [200_000_000, "2 days"],
])("ago(%d) is %s", (span, want) => expect(ago(span)).toBe(want));
