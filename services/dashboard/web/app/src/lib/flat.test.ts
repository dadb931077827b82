import { expect, test } from "vitest";
import { flatten, nothing, type Flat } from "./flat";

const page = (...ids: string[]) => ({ items: ids.map((id) => ({ id })) });
const ids = (f: Flat<{ id: string }>) => f.rows.map((r) => r.id).join("");

test("pages become rows, each once, and only new pages are read", () => {
  const [a, b, c] = [page("a", "b"), page("b", "c"), page("d")];
  const one = flatten([a], nothing);
  const two = flatten([a, b], one);
  expect(ids(two)).toBe("abc");
  expect(two.rows).toBe(one.rows);
  const three = flatten([a, b, c], two);
  expect([...three.index]).toEqual([["a", 0], ["b", 1], ["c", 2], ["d", 3]]);
  expect(flatten([a, b, c], three)).toBe(three);
});

test("another list begins anew", () => {
  const one = flatten([page("a"), page("b")], nothing);
  const other = flatten([page("x")], one);
  expect(ids(other)).toBe("x");
  expect(ids(one)).toBe("ab");
  expect(ids(flatten([page("y"), page("b"), page("c")], one))).toBe("ybc");
  expect(ids(flatten([], one))).toBe("");
  expect(flatten([], nothing)).toBe(nothing);
});
