import { expect, test } from "vitest";
import { plot, seriesAt } from "./plot";

const series = (key: string, values: number[], other = false) => ({ key, label: key, other, total: null, values });
const data = {
  from: "2026-11-22T10:00:00Z",
  to: "2026-11-22T10:02:00Z",
  step_s: 60,
  t: [0, 60],
  partial_last: true,
  series: [series("a", [3, 0]), series("b", [2, 4]), series("other", [1, 1], true)],
};

test("a stack is drawn as sums, the tallest first", () => {
  const p = plot(data, "stack", true, new Set());
  expect(p.drawn.map((l) => l.values)).toEqual([[6, 5], [5, 4], [3, 0]]);
  expect(p.sums).toEqual([6, 5]);
  expect(plot(data, "stack", true, new Set(["a"])).sums).toEqual([3, 5]);
});

test("a click finds the series at its height", () => {
  const p = plot(data, "stack", true, new Set());
  expect([1, 4, 5.5, 9].map((v) => seriesAt(p, 0, v))).toEqual(["a", "b", null, null]);
  expect(seriesAt(p, 1, 1)).toBe("b");
  expect(seriesAt(plot(data, "stack", true, new Set(["a"])), 0, 1)).toBe("b");
  expect(seriesAt(plot(data, "lines", true, new Set()), 0, 1)).toBeNull();
});
