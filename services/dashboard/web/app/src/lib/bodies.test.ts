import { describe, expect, test } from "vitest";
import { Bodies, cutAt, maxStart, maxWhole, pieces, type Recorded, type Shown, type ShownPart } from "./bodies";

const body = (value: unknown): Recorded => {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return { text, truncated: false, length: text.length };
};
const chat = (...messages: unknown[]) => body({ messages });
const say = (content: string) => ({ role: "user", content });

/** The characters that an answer to the page has. */
const weight = (v: unknown) => JSON.stringify(v).length;

describe("what a page is given is bounded", () => {
  test("a short trace is there as a whole", () => {
    const { opened } = new Bodies(chat(say("hi")), body({ choices: [{ message: { role: "assistant", content: "yes" } }] }));
    expect(opened.thread).toMatchObject({ turns: 1, first: { turns: [{ role: "user", parts: [{ text: { text: "hi", length: 2 } }] }], next: null } });
    expect(opened.thread?.answer).toMatchObject([{ answer: true, parts: [{ text: { text: "yes" } }] }]);
    expect(opened.request).toMatchObject({ form: "json", inline: '{"messages":[{"role":"user","content":"hi"}]}' });
    expect(opened.thread?.first.turns[0]?.parts[0]).not.toHaveProperty("text.ref");
  });

  test("of a very long part there is the start, and the rest in pieces", () => {
    const long = "0123456789 abcde\n".repeat(1_200_000); // 20 MB
    const b = new Bodies(chat(say(long)), null);
    const part = b.opened.thread?.first.turns[0]?.parts[0] as { text: Shown };
    expect(part.text.text.length).toBeLessThanOrEqual(maxStart);
    expect(part.text.length).toBe(long.length);
    expect(weight(b.opened)).toBeLessThan(400_000);
    let read = part.text.text;
    while (read.length < long.length) {
      const piece = b.slice(part.text.ref ?? -1, read.length);
      expect(piece.length).toBeGreaterThan(0);
      expect(piece.length).toBeLessThanOrEqual(maxWhole);
      read += piece;
    }
    expect(read === long).toBe(true);
    expect(b.slice(part.text.ref ?? -1, long.length)).toBe("");
    expect(b.slice(99, 0)).toBe("");
    expect(b.opened.request?.inline).toBeNull();
    expect(b.raw("request").length).toBeGreaterThan(long.length);
  });

  test("of very many turns there are some, and the others in order", () => {
    const b = new Bodies(chat(...Array.from({ length: 5_000 }, (_, i) => say(`${i} ${"x".repeat(4_000)}`))), null);
    expect(weight(b.opened)).toBeLessThan(1_500_000);
    let { turns, next } = b.opened.thread!.first;
    while (next !== null) {
      const more = b.from(next);
      expect(weight(more)).toBeLessThan(1_000_000);
      turns = [...turns, ...more.turns];
      next = more.next;
    }
    expect(turns.map((t) => (t.parts[0] as { text: { text: string } }).text.text.split(" ")[0])).toEqual(Array.from({ length: 5_000 }, (_, i) => String(i)));
  });

  test("one turn of very many parts is several", () => {
    const parts = Array.from({ length: 3_000 }, (_, i) => ({ type: "text", text: `${i}${"y".repeat(5_000)}` }));
    const b = new Bodies(chat({ role: "user", content: parts }), null);
    expect(b.opened.thread?.turns).toBe(75);
    expect(weight(b.opened)).toBeLessThan(1_500_000);
  });

  test("tools and results do not weigh more", () => {
    const tools = Array.from({ length: 5_000 }, (_, i) => ({ name: `tool_${i}` }));
    const call = { role: "assistant", tool_calls: [{ id: "c", function: { name: "look", arguments: '{"a":1}' } }] };
    const result = { role: "tool", tool_call_id: "c", content: JSON.stringify({ rows: Array(200_000).fill(1) }) };
    const b = new Bodies(body({ tools, messages: [call, result] }), null);
    expect(b.opened.tools).toHaveLength(200);
    expect(b.opened.thread?.first.turns).toHaveLength(1);
    expect(b.opened.thread?.first.turns[0]?.parts[0]).toMatchObject({ kind: "call", args: { text: '{"a": 1}' }, result: [{ kind: "json" }] });
    expect(weight(b.opened)).toBeLessThan(600_000);
  });
});

describe("bodies of every kind", () => {
  test.each<[string, Recorded, string]>([
    ["JSON", body({ a: 1 }), "json"],
    ["JSON that was cut", { text: '{"a": [1, 2', truncated: true, length: 11 }, "broken"],
    ["a page of a proxy", body("<html>no</html>"), "text"],
    ["a stream", body("data: {}\n\n"), "stream"],
    ["nothing", body(""), "text"],
    ["bytes", { base64: "/9j/", truncated: false, length: 3 }, "binary"],
  ])("%s", (_, b, form) => {
    const { opened } = new Bodies(b, b);
    expect(opened.response?.form).toBe(form);
    expect(opened.thread).toBeNull();
  });

  test("what was not recorded is not there", () => {
    expect(new Bodies(null, null).opened).toEqual({ request: null, response: null, thread: null, tools: [], chunks: null });
  });

  test("bytes are given back as they were", async () => {
    const b = new Bodies({ base64: "/9j/", truncated: false, length: 3 }, body("text"));
    expect([...new Uint8Array(await b.blob("request").arrayBuffer())]).toEqual([0xff, 0xd8, 0xff]);
    expect(await b.blob("response").text()).toBe("text");
    expect(new Bodies({ base64: "%", truncated: false, length: 1 }, null).blob("request").size).toBe(0);
  });

  test("a picture is kept back until it is asked for", async () => {
    const data = btoa("not really a picture".repeat(1_000));
    const b = new Bodies(chat({ role: "user", content: [{ type: "image_url", image_url: { url: `data:image/png;base64,${data}` } }] }), null);
    const part = b.opened.thread?.first.turns[0]?.parts[0] as Extract<ShownPart, { kind: "media" }>;
    expect(part).toMatchObject({ kind: "media", type: "image/png", bytes: 20_001, ref: 0 });
    const picture = b.picture(0);
    expect([picture.type, picture.size]).toEqual(["image/png", 20_000]);
    expect(b.picture(7).size).toBe(0);
  });

  test("the chunks of a stream, some at a time", () => {
    const b = new Bodies(chat(), body(Array.from({ length: 500 }, (_, i) => `event: e${i}\ndata: ${"z".repeat(1_000)}\n\n`).join("")));
    expect(b.opened.chunks).toBe(500);
    expect(b.chunks(0)).toHaveLength(200);
    expect(b.chunks(400)).toHaveLength(100);
    expect(b.chunks(400)[0]).toEqual({ event: "e400", data: `${"z".repeat(400)}…`, bytes: 1_000 });
  });
});

test("a piece ends with a line, or at least not within a character", () => {
  expect(cutAt("abc", 0, 5)).toBe(3);
  expect(cutAt("abcdef\nxyz", 0, 8)).toBe(7);
  expect(cutAt("a\nbcdefgh", 0, 8)).toBe(8);
  expect(cutAt("ab\u{1f9f6}d", 0, 3)).toBe(2);
  expect(cutAt("ab\u{1f9f6}d", 0, 4)).toBe(4);
});

test.each(["", "abc", "a\n".repeat(30), "x".repeat(55), "\u{1f9f6}".repeat(40)])("the pieces of %j are the text again", (text) => {
  const all = pieces(text, 10);
  expect(all.join("")).toBe(text);
  for (const p of all) expect(p.length).toBeLessThanOrEqual(10);
});
