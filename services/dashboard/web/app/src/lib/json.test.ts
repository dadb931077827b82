import { expect, test } from "vitest";
import { pretty, tokens } from "./json";

test("short JSON is one line, long JSON is indented, other text stays", () => {
  expect(pretty('{"a":1,"b":["x","y"],"c":{}}')).toBe('{"a": 1, "b": ["x", "y"], "c": {}}');
  expect(pretty(JSON.stringify({ text: "x".repeat(100) }))).toMatch(/^\{\n {2}"text"/);
  expect(pretty('{"text":"line\\nline [ x ]"}')).toBe('{"text": "line\\nline [ x ]"}');
  expect(pretty("not { json")).toBe("not { json");
});

test.each(['{"key": "value", "n": -1.5e3, "ok": true, "none": null}', '"unclosed', "", "<b>10</b> {}", '{"a": "quote \\" in it"}'])(
  "tokens of %j are the text again",
  (text) => expect(tokens(text).map((t) => t.text).join("")).toBe(text),
);

test("tokens tell keys from values", () => {
  const kinds = tokens('{"k": "v", "n": 1, "t": true}').filter((t) => t.kind !== "plain");
  expect(kinds.map((t) => `${t.kind} ${t.text}`)).toEqual(['key "k"', 'string "v"', 'key "n"', "number 1", 'key "t"', "word true"]);
});
