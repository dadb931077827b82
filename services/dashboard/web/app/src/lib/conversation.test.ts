import { describe, expect, test } from "vitest";
import { conversation, toolNames } from "./conversation";

const read = (request: unknown, response: unknown = null) =>
  conversation(request, response === null ? null : typeof response === "string" ? response : JSON.stringify(response));

describe("chat", () => {
  test("roles, tool calls and their results", () => {
    const turns = read(
      {
        messages: [
          { role: "developer", content: "be brief" },
          { role: "user", content: [{ type: "text", text: "hi" }, { type: "image_url", image_url: { url: "data:," } }] },
          { role: "assistant", content: null, tool_calls: [{ id: "c1", type: "function", function: { name: "look", arguments: '{"a":1}' } }] },
          { role: "tool", tool_call_id: "c1", content: '{"b":2}' },
        ],
      },
      { choices: [{ message: { role: "assistant", content: "done", refusal: null }, finish_reason: "length" }] },
    );
    expect(turns?.map((t) => [t.role, t.label])).toEqual([
      ["system", "Developer"],
      ["user", "User"],
      ["assistant", "Assistant"],
      ["assistant", "Assistant"],
    ]);
    expect(turns?.[1]?.parts).toMatchObject([{ kind: "text", text: "hi" }, { kind: "media", label: "image" }]);
    expect(turns?.[2]?.parts).toEqual([{ kind: "call", id: "c1", name: "look", args: '{"a":1}', result: [{ kind: "text", text: '{"b":2}' }] }]);
    expect(turns?.[3]).toMatchObject({ answer: true, finish: "length", parts: [{ kind: "text", text: "done" }] });
  });

  test("an answer of several choices", () => {
    const turns = read({ messages: [] }, { choices: [{ message: { content: "a", role: "assistant" } }, { message: { content: "b", role: "assistant" } }] });
    expect(turns?.map((t) => t.parts)).toEqual([[{ kind: "text", text: "a" }], [{ kind: "text", text: "b" }]]);
  });

  test("the chunks of a stream", () => {
    const chunk = (delta: unknown, finish_reason: string | null = null) => `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
    const turns = read(
      { messages: [] },
      chunk({ role: "assistant", content: "Hel" }) +
        chunk({ content: "lo" }) +
        chunk({ tool_calls: [{ index: 0, id: "c1", function: { name: "look", arguments: '{"a"' } }] }) +
        chunk({ tool_calls: [{ index: 0, function: { arguments: ":1}" } }] }, "tool_calls") +
        "data: [DONE]\n\n",
    );
    expect(turns).toMatchObject([
      { answer: true, finish: "tool_calls", parts: [{ kind: "text", text: "Hello" }, { kind: "call", id: "c1", name: "look", args: '{"a":1}' }] },
    ]);
  });
});

test("block-shaped messages", () => {
  const turns = read(
    {
      system: "be kind",
      messages: [
        { role: "assistant", content: [{ type: "thinking", thinking: "hm" }, { type: "tool_use", id: "t1", name: "look", input: { a: 1 } }] },
        { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "found" }, { type: "text", text: "so?" }] },
      ],
    },
    { role: "assistant", content: [{ type: "text", text: "yes" }], stop_reason: "end_turn" },
  );
  expect(turns?.map((t) => t.role)).toEqual(["system", "assistant", "user", "assistant"]);
  expect(turns?.[1]?.parts).toEqual([
    { kind: "reasoning", text: "hm" },
    { kind: "call", id: "t1", name: "look", args: '{"a":1}', result: [{ kind: "text", text: "found" }] },
  ]);
});

test("a stream of blocks", () => {
  const events = [
    { type: "message_start", message: { role: "assistant" } },
    { type: "content_block_start", index: 0, content_block: { type: "thinking", thinking: "" } },
    { type: "content_block_delta", index: 0, delta: { type: "thinking_delta", thinking: "hm" } },
    { type: "content_block_start", index: 1, content_block: { type: "text", text: "" } },
    { type: "content_block_delta", index: 1, delta: { type: "text_delta", text: "ye" } },
    { type: "content_block_delta", index: 1, delta: { type: "text_delta", text: "s" } },
    { type: "content_block_start", index: 2, content_block: { type: "tool_use", id: "t", name: "look", input: {} } },
    { type: "content_block_delta", index: 2, delta: { type: "input_json_delta", partial_json: '{"a":1}' } },
    { type: "message_delta", delta: { stop_reason: "tool_use" } },
  ];
  const turns = read({ messages: [] }, events.map((e) => `event: ${e.type}\ndata: ${JSON.stringify(e)}\n\n`).join(""));
  expect(turns).toMatchObject([
    {
      answer: true,
      finish: "tool_use",
      parts: [
        { kind: "reasoning", text: "hm" },
        { kind: "text", text: "yes" },
        { kind: "call", id: "t", name: "look", args: '{"a":1}' },
      ],
    },
  ]);
});

describe("items", () => {
  test("calls, results and reasoning", () => {
    const turns = read({
      instructions: "short",
      input: [
        { type: "reasoning", summary: [{ type: "summary_text", text: "think" }] },
        { type: "reasoning", encrypted_content: "x", summary: [] },
        { type: "function_call", call_id: "f", name: "look", arguments: "{}" },
        { type: "function_call_output", call_id: "f", output: "ok" },
        { type: "function_call_output", call_id: "lost", output: "alone" },
        { type: "web_search_call", id: "w" },
      ],
    });
    expect(turns?.map((t) => [t.role, t.parts[0]?.kind])).toEqual([
      ["system", "text"],
      ["assistant", "reasoning"],
      ["assistant", "reasoning"],
      ["assistant", "call"],
      ["tool", "text"],
      ["other", "json"],
    ]);
    expect(turns?.[1]?.parts).toEqual([{ kind: "reasoning", text: "think" }]);
    expect(turns?.[3]?.parts).toMatchObject([{ name: "look", result: [{ text: "ok" }] }]);
    expect(turns?.[4]).toMatchObject({ callID: "lost" });
  });

  test("the last event of a stream has the answer", () => {
    const response = { status: "completed", output: [{ type: "message", role: "assistant", content: [{ type: "output_text", text: "done" }] }] };
    const turns = read({ input: "hi" }, `event: x\ndata: {"type":"response.created"}\n\ndata: ${JSON.stringify({ type: "response.completed", response })}\n\n`);
    expect(turns).toMatchObject([{ role: "user" }, { answer: true, finish: "completed", parts: [{ kind: "text", text: "done" }] }]);
  });
});

test("media in each form, never as text", () => {
  const content = [
    { type: "image_url", image_url: { url: "data:image/jpeg;base64,AAAA" } },
    { type: "input_image", image_url: "https://elsewhere.example/a.png" },
    { type: "image", source: { type: "base64", media_type: "image/webp", data: "AAAAAAAA" } },
    { type: "document", source: { type: "text", media_type: "text/plain", data: "words" } },
    { type: "input_audio", input_audio: { data: "AAAA", format: "mp3" } },
    { type: "file", file: { filename: "a.pdf", file_data: "data:application/pdf;base64,AAAA" } },
  ];
  expect(read({ messages: [{ role: "user", content }] })?.[0]?.parts).toEqual([
    { kind: "media", label: "image", media: { type: "image/jpeg", bytes: 3, data: "AAAA" } },
    { kind: "media", label: "image", media: { type: "image/png", bytes: 0, url: "https://elsewhere.example/a.png" } },
    { kind: "media", label: "image", media: { type: "image/webp", bytes: 6, data: "AAAAAAAA" } },
    { kind: "text", text: "words" },
    { kind: "media", label: "audio", media: { type: "audio/mp3", bytes: 3, data: "AAAA" } },
    { kind: "media", label: "a.pdf", media: { type: "application/pdf", bytes: 3, data: "AAAA" } },
  ]);
});

describe("what it cannot read", () => {
  test.each([undefined, null, "", [], 1, { model: "m" }])("%j is no conversation", (body) => expect(conversation(body, null)).toBeNull());

  test("strange messages are shown, not dropped", () => {
    const turns = read({ messages: [null, 7, { role: 5, content: { odd: true } }] });
    expect(turns?.map((t) => t.parts[0]?.kind)).toEqual(["json", "json", "json"]);
  });

  test.each(['{"error":{"message":"no"}}', "<html>", "data: {broken\n\n"])("%j is no answer", (body) => {
    expect(conversation({ messages: [] }, body)?.filter((t) => t.parts.length > 0)).toEqual([]);
  });
});

test("the tools a request offers", () => {
  expect(toolNames({ tools: [{ type: "function", function: { name: "a" } }, { name: "b" }, { type: "web_search" }, null] })).toEqual(["a", "b", "web_search"]);
  expect(toolNames(null)).toEqual([]);
});
