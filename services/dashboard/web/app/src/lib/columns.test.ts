import { beforeEach, expect, test, vi } from "vitest";
import { chosenColumns, columns, least, toggleColumn, tracks, usualColumns } from "./columns";

let kept: Record<string, string>;
beforeEach(() => {
  kept = {};
  vi.stubGlobal("localStorage", { getItem: (k: string) => kept[k] ?? null, setItem: (k: string, v: string) => void (kept[k] = v) });
});

test("a choice is kept, in the order of the list", () => {
  expect(chosenColumns()).toBeNull();
  const usual = usualColumns(2000);
  const more = toggleColumn(usual, "provider");
  expect(more.indexOf("provider")).toBe(more.indexOf("model") + 1);
  expect(chosenColumns()).toEqual(more);
  expect(toggleColumn(more, "provider")).toEqual(usual);
});

test("the last column stays, and what is kept is checked", () => {
  expect(toggleColumn(["cost"], "cost")).toEqual(["cost"]);
  for (const bad of ["{", "[]", '["moon"]', "7"]) {
    kept["loom-columns"] = bad;
    expect(chosenColumns()).toBeNull();
  }
});

test("columns take room", () => {
  expect(tracks(["time", "cost"])).toBe("124px 76px");
  expect(least(["time", "cost"])).toBe(124 + 76 + 12 + 28);
  expect(least(columns.map((c) => c.id))).toBeGreaterThan(1200);
});

test("without a choice there are as many as fit", () => {
  expect(usualColumns(2000)).toContain("tags");
  expect(usualColumns(800)).not.toContain("tags");
  for (const width of [800, 700, 652]) expect(least(usualColumns(width))).toBeLessThanOrEqual(width);
  expect(usualColumns(0)).toEqual(["time", "status", "model", "latency", "cost"]);
});
