import { expect, test } from "vitest";
import { resolve, zoomed } from "./window";

const now = Date.parse("2026-11-22T12:34:56.789Z");

test("a preset ends now", () => {
  expect(resolve({ range: "1h" }, now)).toEqual({ from: "2026-11-22T11:34:56.789Z", to: "2026-11-22T12:34:56.789Z", preset: "1h" });
  expect(resolve({}, now).from).toBe("2026-11-21T12:34:56.789Z");
});

test("a chosen window stays", () => {
  const s = { from: "2026-11-01T00:00:00.000Z", to: "2026-11-02T00:00:00.000Z" };
  expect(resolve(s, now)).toEqual({ ...s, preset: null });
});

test("a zoom covers what was dragged over, in whole minutes", () => {
  const at = Date.parse("2026-11-22T10:00:00Z") / 1000;
  expect(zoomed(at + 61.5, at + 179)).toEqual({ from: "2026-11-22T10:01:00.000Z", to: "2026-11-22T10:03:00.000Z" });
  expect(zoomed(at, at + 0.2)).toEqual({ from: "2026-11-22T10:00:00.000Z", to: "2026-11-22T10:01:00.000Z" });
});
