import { expect, test } from "vitest";
import { slots } from "./color";

const series = (...keys: string[]) => keys.map((key) => ({ key, other: key === "other" }));

test("a key has the same colour wherever it stands", () => {
  const [a, b] = slots(series("gpt-5", "claude-sonnet-4-5"));
  expect(slots(series("claude-sonnet-4-5", "gpt-5"))).toEqual([b, a]);
});

test("six keys have six colours, the rest is grey", () => {
  const got = slots(series("a", "b", "c", "d", "e", "f", "other"));
  expect(new Set(got.slice(0, 6)).size).toBe(6);
  expect(got[6]).toBe(-1);
});
