import { expect, test } from "vitest";
import { isStream, read } from "./sse";

test("events with names, several lines, comments and any line end", () => {
  expect(read(": hello\n\nevent: a\r\ndata: 1\r\ndata:2\r\n\r\ndata: [DONE]\n\n")).toEqual([
    { event: "a", data: "1\n2" },
    { event: "", data: "[DONE]" },
  ]);
});

test("a stream that was cut keeps its last event", () => {
  expect(read('data: {"a":')).toEqual([{ event: "", data: '{"a":' }]);
  expect(read("")).toEqual([]);
});

test("what is a stream and what is not", () => {
  for (const s of ["data: {}", "\nevent: x", ": ping\n", "id: 1\n"]) expect(isStream(s)).toBe(true);
  for (const s of ["", "{}", "<html>", '"data: x"']) expect(isStream(s)).toBe(false);
});
