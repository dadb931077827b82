import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { curl, quote } from "./curl";

const nasty = [`it's`, `''`, `$HOME \`id\` $(id) \\ "x"`, "line one\nline two\n", `'; rm -rf /tmp/none; '`, "ü 漢字 \u{1f9f6}"];

test.each(nasty)("a shell reads quote(%j) as the same text", (text) => {
  const got = execFileSync("bash", ["-c", `printf %s ${quote(text)}`], { encoding: "utf8" });
  expect(got).toBe(text);
});

test("the command makes the same request, with the key of the environment", () => {
  const body = JSON.stringify({ model: "gpt-5", messages: [{ role: "user", content: nasty.join(" ") }] });
  const command = curl({ gatewayURL: "http://127.0.0.1:8080/", endpoint: "chat.completions", body });
  // A curl of our own says what it was given.
  const script = `curl() { printf '%s\\0' "$@"; }\n${command}`;
  const env = { ...process.env, LOOM_API_KEY: "loom_sk_test" };
  const args = execFileSync("bash", ["-c", script], { encoding: "utf8", env }).split("\0").slice(0, -1);
  expect(args).toEqual([
    "http://127.0.0.1:8080/v1/chat/completions",
    "-H",
    "Authorization: Bearer loom_sk_test",
    "-H",
    "Content-Type: application/json",
    "--data-binary",
    body,
  ]);
});

test("a long body goes into a file", () => {
  const command = curl({ gatewayURL: "http://gw", endpoint: "chat.completions", body: null });
  expect(command).toContain("--data-binary @request.json");
  expect(command.length).toBeLessThan(300);
});
