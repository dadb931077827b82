import { expect, test } from "vitest";
import { chosen, lag, localTime, resolve, zoomed } from "./window";

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

test("how far numbers lie behind", () => {
  expect(lag("2026-11-22T12:34:44.789Z", now)).toBe(12_000);
  expect(lag("2026-11-22T12:40:00Z", now)).toBe(0);
  expect(lag(null, now)).toBeNull();
  expect(lag(undefined, now)).toBeNull();
  expect(lag("soon", now)).toBeNull();
});

test("a window of a form", () => {
  const at = "2026-11-22T10:00:00.000Z";
  expect(chosen(localTime(at), localTime("2026-11-22T11:30:00.000Z"))).toEqual({ from: at, to: "2026-11-22T11:30:00.000Z" });
  expect(chosen("2026-11-22T11:00", "2026-11-22T10:00")).toBeNull();
  expect(chosen("", "2026-11-22T10:00")).toBeNull();
  expect(chosen("2020-01-01T00:00", "2026-11-22T10:00")).toBeNull();
});
