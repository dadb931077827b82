import { expect, test } from "vitest";
import { Rate } from "./rate";

test("a rate looks back ten seconds", () => {
  const r = new Rate(0);
  expect(r.perSecond(0)).toBe(0);
  r.add(500);
  expect(r.perSecond(500)).toBe(1); // not two: the first second has not passed
  for (let at = 1_000; at <= 20_000; at += 500) r.add(at);
  expect(r.perSecond(20_000)).toBe(2);
  r.add(20_000, 30); // a word of 30 that were left out
  expect(r.perSecond(20_000)).toBe(5);
  expect(r.perSecond(31_000)).toBe(0);
});
