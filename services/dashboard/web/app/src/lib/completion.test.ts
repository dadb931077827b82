import { describe, expect, test } from "vitest";
import { answer, piece, refusal } from "./completion";

describe("a piece of a stream", () => {
  test.each([
    ["text", '{"choices":[{"delta":{"content":"Hi"},"finish_reason":null}]}', { text: "Hi" }],
    ["its role only", '{"choices":[{"delta":{"role":"assistant","content":""}}]}', {}],
    ["a thought", '{"choices":[{"delta":{"reasoning_content":"Hm"}}]}', { thought: "Hm" }],
    ["the end", '{"choices":[{"delta":{},"finish_reason":"stop"}]}', { finish: "stop" }],
    ["usage, without a choice", '{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9}}', { usage: { tokensIn: 3, tokensOut: 9 } }],
    ["an error", '{"error":{"message":"overloaded"}}', { error: "overloaded" }],
    ["an error in other words", '{"error":"no"}', { error: "no" }],
    ["an error without any", '{"error":{}}', { error: "It failed without a reason." }],
    ["what is no JSON", "<html>", { error: "The answer has a piece that is not JSON." }],
    ["what is no completion", "[1]", { error: "The answer has a piece that is not JSON." }],
  ])("%s", (_, data, want) => expect(piece(data)).toEqual(want));
  test("its last", () => expect(piece("[DONE]")).toBeNull());
});

test.each([
  ["a message", '{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}', { text: "Hi", finish: "stop", usage: { tokensIn: 1, tokensOut: 2 } }],
  ["a refusal", '{"choices":[{"message":{"content":null,"refusal":"No."}}]}', { text: "No." }],
  ["nothing", "", { error: "The answer is not JSON." }],
])("an answer with %s", (_, text, want) => expect(answer(text)).toEqual(want));

test("why there is no answer", () => {
  expect(refusal(529, '{"error":{"message":"Overloaded."}}')).toBe("Overloaded.");
  expect(refusal(502, "<html>")).toBe("The gateway answered with status 502.");
});
