import { describe, expect, test } from "vitest";
import { EventParser, events, isStream, read, type ServerEvent } from "./event-stream";

const all = (...pieces: string[]): ServerEvent[] => {
  const p = new EventParser();
  return pieces.flatMap((piece) => p.push(piece));
};

describe("EventParser", () => {
  test.each<[string, string[], ServerEvent[]]>([
    ["one event", ["event: trace\nid: 7\ndata: {}\n\n"], [{ event: "trace", id: "7", data: "{}" }]],
    ["no name", ["data: a\n\n"], [{ event: "message", id: "", data: "a" }]],
    ["several lines of data", ["data: a\ndata:\ndata:  b\n\n"], [{ event: "message", id: "", data: "a\n\n b" }]],
    ["no space after the colon", ["event:x\ndata:y\n\n"], [{ event: "x", id: "", data: "y" }]],
    ["a field without a colon", ["data\n\n"], [{ event: "message", id: "", data: "" }]],
    ["comments", [": hello\n\ndata: a\n: b\n\n"], [{ event: "message", id: "", data: "a" }]],
    ["fields that are not known", ["retry: 5\nfoo: b\ndata: a\n\n"], [{ event: "message", id: "", data: "a" }]],
    ["CRLF", ["event: x\r\ndata: a\r\n\r\n"], [{ event: "x", id: "", data: "a" }]],
    ["CR", ["event: x\rdata: a\r\r"], [{ event: "x", id: "", data: "a" }]],
    ["CRLF cut in half", ["data: a\r", "\n\r", "\ndata: b\r\n\r\n"], [{ event: "message", id: "", data: "a" }, { event: "message", id: "", data: "b" }]],
    ["a byte order mark", ["\uFEFFdata: a\n\n"], [{ event: "message", id: "", data: "a" }]],
    ["an id stays", ["id: 1\ndata: a\n\ndata: b\n\n"], [{ event: "message", id: "1", data: "a" }, { event: "message", id: "1", data: "b" }]],
    ["an id with NUL is none", ["id: 1\n\nid: a\0b\ndata: x\n\n"], [{ event: "message", id: "1", data: "x" }]],
    ["nothing without data", ["event: x\nid: 1\n\n"], []],
    ["an event that is cut", ["data: a\n"], []],
  ])("%s", (_, pieces, want) => expect(all(...pieces)).toEqual(want));

  test("pieces of any size give the same events", () => {
    const text = "\uFEFF: hi\r\n\r\nevent: trace\r\nid: 3\r\ndata: {\"a\":\r\ndata: \"ü\"}\r\n\r\ndata: b\n\ndata: c\r\r";
    const want = all(text);
    expect(want).toHaveLength(3);
    for (let size = 1; size <= text.length; size++) {
      const pieces = [];
      for (let i = 0; i < text.length; i += size) pieces.push(text.slice(i, i + size));
      expect(all(...pieces), `pieces of ${size}`).toEqual(want);
    }
  });

  test("an event without end is refused", () => {
    const p = new EventParser();
    const line = "data: " + "x".repeat(1 << 20) + "\n";
    expect(() => {
      for (let i = 0; i < 6; i++) p.push(line);
    }).toThrow("too large");
  });
});

describe("events", () => {
  const stream = (...pieces: Uint8Array[]) =>
    new ReadableStream<Uint8Array>({
      start(c) {
        for (const p of pieces) c.enqueue(p);
        c.close();
      },
    });

  test("characters that are cut in two, and every piece is a beat", async () => {
    const bytes = new TextEncoder().encode("data: ü\n\n");
    let beats = 0;
    const got = [];
    for await (const e of events(stream(bytes.slice(0, 7), bytes.slice(7)), () => beats++)) got.push(e.data);
    expect(got).toEqual(["ü"]);
    expect(beats).toBe(2);
  });

  test("leaving cancels the body", async () => {
    let canceled = false;
    const body = new ReadableStream<Uint8Array>({
      pull: (c) => c.enqueue(new TextEncoder().encode("data: a\n\n")),
      cancel: () => void (canceled = true),
    });
    for await (const e of events(body)) {
      expect(e.data).toBe("a");
      break;
    }
    expect(canceled).toBe(true);
  });
});

describe("a recorded stream", () => {
  test("events with names, several lines, comments and any line end", () => {
    expect(read(": hello\n\nevent: a\r\ndata: 1\r\ndata:2\r\n\r\ndata: [DONE]\n\n")).toEqual([
      { event: "a", data: "1\n2", id: "" },
      { event: "message", data: "[DONE]", id: "" },
    ]);
  });

  test("one that was cut keeps its last event", () => {
    for (const end of ["", "\n", "\r"]) expect(read('data: {"a":' + end)).toEqual([{ event: "message", data: '{"a":', id: "" }]);
    expect(read("")).toEqual([]);
  });

  test("events longer than a live stream may have", () => {
    expect(read(`data: ${"x".repeat(5 << 20)}`)[0]?.data.length).toBe(5 << 20);
  });

  test("what is one and what is not", () => {
    for (const s of ["data: {}", "\nevent: x", ": ping\n", "id: 1\n"]) expect(isStream(s)).toBe(true);
    for (const s of ["", "{}", "<html>", '"data: x"']) expect(isStream(s)).toBe(false);
  });
});
