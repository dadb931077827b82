import { describe, expect, test } from "vitest";
import { order, ordered, sorted } from "./sort";

describe("sorted", () => {
  const by = (values: (number | string | null)[], down: boolean) => sorted(values, (v) => v, down);

  test("numbers by size", () => {
    expect(by([10, 9, 0.5], false)).toEqual([0.5, 9, 10]);
    expect(by([10, 9, 0.5], true)).toEqual([10, 9, 0.5]);
  });
  test("names as people read them", () => expect(by(["gpt-10", "GPT-9", "claude"], false)).toEqual(["claude", "GPT-9", "gpt-10"]));
  test("unknown last, both ways, and zero is not unknown", () => {
    expect(by([null, 0, 2], false)).toEqual([0, 2, null]);
    expect(by([null, 0, 2], true)).toEqual([2, 0, null]);
  });
  test("equals stay in their order, and the rows are not touched", () => {
    const rows = [{ n: 1, id: "a" }, { n: 1, id: "b" }, { n: 0, id: "c" }];
    expect(sorted(rows, (r) => r.n, true).map((r) => r.id)).toEqual(["a", "b", "c"]);
    expect(sorted(rows, (r) => r.n, false).map((r) => r.id)).toEqual(["c", "a", "b"]);
    expect(rows.map((r) => r.id)).toEqual(["a", "b", "c"]);
  });
});

test.each([
  ["cost", "cost", true, "-cost"],
  ["-cost", "cost", true, "cost"],
  ["-cost", "requests", true, "-requests"],
  ["-cost", "name", false, "name"],
  ["name", "name", false, "-name"],
])("sorted by %s, a click on %s", (now, column, numeric, want) => expect(ordered(order(now), column, numeric)).toBe(want));
