import { describe, expect, test } from "vitest";
import { conversation, toolNames } from "./conversation";

const read = (request: unknown, response: unknown = null) =>
  conversation(JSON.stringify(request), response === null ? null : typeof response === "string" ? response : JSON.stringify(response));

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
      ["tool", "Tool result"],
      ["assistant", "Assistant"],
    ]);
    expect(turns?.[1]?.parts).toMatchObject([{ kind: "text", text: "hi" }, { kind: "media", label: "image" }]);
    expect(turns?.[2]?.parts).toEqual([{ kind: "call", id: "c1", name: "look", args: '{"a":1}' }]);
    expect(turns?.[3]).toMatchObject({ callID: "c1", callName: "look" });
    expect(turns?.[4]).toMatchObject({ answer: true, finish: "length", parts: [{ kind: "text", text: "done" }] });
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
  expect(turns?.map((t) => t.role)).toEqual(["system", "assistant", "tool", "user", "assistant"]);
  expect(turns?.[1]?.parts).toEqual([{ kind: "reasoning", text: "hm" }, { kind: "call", id: "t1", name: "look", args: '{"a":1}' }]);
  expect(turns?.[2]).toMatchObject({ callName: "look", parts: [{ kind: "text", text: "found" }] });
});

test("input items", () => {
  const turns = read({ instructions: "short", input: [{ type: "function_call", call_id: "f", name: "look", arguments: "{}" }, { type: "function_call_output", call_id: "f", output: "ok" }] });
  expect(turns?.map((t) => t.role)).toEqual(["system", "assistant", "tool"]);
  expect(turns?.[2]?.callName).toBe("look");
});

describe("what it cannot read", () => {
  test.each([null, "", "{", "[]", "1", '{"model":"m"}'])("%j is no conversation", (body) => expect(conversation(body, null)).toBeNull());

  test("strange messages are shown, not dropped", () => {
    const turns = read({ messages: [null, 7, { role: 5, content: { odd: true } }] });
    expect(turns?.map((t) => t.parts[0]?.kind)).toEqual(["json", "json", "json"]);
  });

  test.each(['{"error":{"message":"no"}}', "<html>", "data: {broken\n\n"])("%j is no answer", (body) => {
    expect(conversation('{"messages":[]}', body)?.filter((t) => t.parts.length > 0)).toEqual([]);
  });
});

test("the tools a request offers", () => {
  expect(toolNames('{"tools":[{"type":"function","function":{"name":"a"}},{"name":"b"},{"type":"web_search"},null]}')).toEqual(["a", "b", "web_search"]);
  expect(toolNames(null)).toEqual([]);
});
