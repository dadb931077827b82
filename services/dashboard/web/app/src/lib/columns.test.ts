import { beforeEach, expect, test, vi } from "vitest";
import { chosenColumns, columns, least, toggleColumn, tracks } from "./columns";

let kept: Record<string, string>;
beforeEach(() => {
  kept = {};
  vi.stubGlobal("localStorage", { getItem: (k: string) => kept[k] ?? null, setItem: (k: string, v: string) => void (kept[k] = v) });
});

test("a choice is kept, in the order of the list", () => {
  const usual = chosenColumns();
  const more = toggleColumn(usual, "provider");
  expect(more.indexOf("provider")).toBe(more.indexOf("model") + 1);
  expect(chosenColumns()).toEqual(more);
  expect(toggleColumn(more, "provider")).toEqual(usual);
});

test("the last column stays, and what is kept is checked", () => {
  expect(toggleColumn(["cost"], "cost")).toEqual(["cost"]);
  for (const bad of ["{", "[]", '["moon"]', "7"]) {
    kept["loom-columns"] = bad;
    expect(chosenColumns()).toContain("model");
  }
});

test("columns take room", () => {
  expect(tracks(["time", "cost"])).toBe("124px 80px");
  expect(least(["time", "cost"])).toBe(124 + 80 + 12 + 28);
  expect(least(columns.map((c) => c.id))).toBeGreaterThan(1200);
});
