// A request's and a response's bodies as one thread of turns. It reads what chat clients
// send (messages, content parts, tool calls), answers (choices, or a stream's chunks), and
// block-shaped messages. What it does not know becomes JSON, so nothing is hidden.

export type Role = "system" | "user" | "assistant" | "tool" | "other";

export type Part =
  | { kind: "text"; text: string }
  | { kind: "reasoning"; text: string }
  | { kind: "refusal"; text: string }
  | { kind: "call"; id: string; name: string; args: string }
  | { kind: "media"; label: string; bytes: number }
  | { kind: "json"; value: unknown };

export interface Turn {
  role: Role;
  /** As the body names it. */
  label: string;
  parts: Part[];
  /** Of a tool's result: the call it answers. */
  callID?: string;
  callName?: string;
  /** Part of the answer. */
  answer?: boolean;
  finish?: string;
}

type Obj = Record<string, unknown>;

/** conversation returns null when the request is not one that it can read as a thread. */
export function conversation(request: string | null, response: string | null): Turn[] | null {
  const req = object(parse(request));
  if (!req) return null;
  const turns: Turn[] = [];
  for (const name of ["system", "instructions"]) {
    if (req[name] !== undefined) turns.push({ role: "system", label: "System", parts: parts(req[name]) });
  }
  const messages = req.messages ?? req.input ?? req.prompt;
  if (messages === undefined) return null;
  for (const m of Array.isArray(messages) ? (messages as unknown[]) : [messages]) turns.push(...message(m));
  turns.push(...answer(response));
  const names = new Map<string, string>();
  for (const t of turns) {
    for (const p of t.parts) if (p.kind === "call") names.set(p.id, p.name);
    if (t.callID && !t.callName) t.callName = names.get(t.callID);
  }
  return turns;
}

/** toolNames lists the tools a request offers. */
export function toolNames(request: string | null): string[] {
  const tools = object(parse(request))?.tools;
  if (!Array.isArray(tools)) return [];
  return tools.flatMap((t) => {
    const o = object(t);
    return text(object(o?.function)?.name) || text(o?.name) || text(o?.type) || [];
  });
}

function message(raw: unknown): Turn[] {
  if (typeof raw === "string") return [{ role: "user", label: "User", parts: [{ kind: "text", text: raw }] }];
  const m = object(raw);
  if (!m) return [{ role: "other", label: "Message", parts: [{ kind: "json", value: raw }] }];
  if (m.type === "function_call") {
    return [{ role: "assistant", label: "Assistant", parts: [call(text(m.call_id), text(m.name), m.arguments)] }];
  }
  if (m.type === "function_call_output") {
    return [{ role: "tool", label: "Tool result", parts: parts(m.output), callID: text(m.call_id) }];
  }
  const [role, label] = roleOf(text(m.role));
  const turn: Turn = { role, label, parts: [] };
  const reasoning = text(m.reasoning_content) || text(m.reasoning);
  if (reasoning) turn.parts.push({ kind: "reasoning", text: reasoning });
  const results: Turn[] = [];
  const blocks = Array.isArray(m.content) ? (m.content as unknown[]) : [m.content];
  for (const b of blocks) {
    const block = object(b);
    if (block?.type === "tool_result") {
      results.push({ role: "tool", label: "Tool result", parts: parts(block.content), callID: text(block.tool_use_id) });
    } else {
      turn.parts.push(...parts(b));
    }
  }
  if (typeof m.refusal === "string" && m.refusal) turn.parts.push({ kind: "refusal", text: m.refusal });
  if (Array.isArray(m.tool_calls)) {
    for (const c of m.tool_calls) {
      const o = object(c);
      const f = object(o?.function) ?? object(o?.custom);
      turn.parts.push(call(text(o?.id), text(f?.name), f?.arguments ?? f?.input));
    }
  }
  const legacy = object(m.function_call);
  if (legacy) turn.parts.push(call("", text(legacy.name), legacy.arguments));
  if (role === "tool") {
    turn.callID = text(m.tool_call_id);
    if (m.name) turn.callName = text(m.name);
  }
  return turn.parts.length > 0 || results.length === 0 ? [...results, turn] : results;
}

/** answer reads a response body: a completion, an error, or the raw chunks of a stream. */
export function answer(response: string | null): Turn[] {
  if (!response) return [];
  let body = parse(response);
  if (body === undefined && /^(?:data|event):/m.test(response)) body = joined(response);
  const o = object(body);
  if (!o) return [];
  if (Array.isArray(o.choices)) {
    return o.choices.flatMap((raw) => {
      const c = object(raw);
      const turns = c?.message !== undefined ? message(c.message) : message({ role: "assistant", content: c?.text });
      return turns.map((t) => ({ ...t, answer: true, finish: text(c?.finish_reason) || undefined }));
    });
  }
  if (Array.isArray(o.output)) {
    return o.output.flatMap(message).map((t) => ({ ...t, answer: true, finish: text(o.status) || undefined }));
  }
  if (o.role !== undefined && o.content !== undefined) {
    return message(o).map((t) => ({ ...t, answer: true, finish: text(o.stop_reason) || undefined }));
  }
  return [];
}

/** joined puts the chunks of a chat stream together. */
function joined(stream: string): Obj {
  const choices: Obj[] = [];
  for (const line of stream.split("\n")) {
    if (!line.startsWith("data:")) continue;
    const chunk = object(parse(line.slice(5).trim()));
    for (const raw of Array.isArray(chunk?.choices) ? (chunk.choices as unknown[]) : []) {
      const c = object(raw);
      const delta = object(c?.delta);
      const i = typeof c?.index === "number" && c.index >= 0 && c.index < 128 ? c.index : 0;
      const choice = (choices[i] ??= { message: { role: "assistant", content: "", tool_calls: [] } });
      const m = choice.message as { content: string; tool_calls: { id: string; function: { name: string; arguments: string } }[] };
      m.content += text(delta?.content);
      if (c?.finish_reason) choice.finish_reason = c.finish_reason;
      for (const d of Array.isArray(delta?.tool_calls) ? (delta.tool_calls as unknown[]) : []) {
        const o = object(d);
        const f = object(o?.function);
        const k = typeof o?.index === "number" && o.index >= 0 && o.index < 128 ? o.index : 0;
        const have = (m.tool_calls[k] ??= { id: "", function: { name: "", arguments: "" } });
        have.id ||= text(o?.id);
        have.function.name += text(f?.name);
        have.function.arguments += text(f?.arguments);
      }
    }
  }
  return { choices: choices.filter(Boolean) };
}

/** parts reads a message's content: text, or a list of blocks. */
function parts(content: unknown): Part[] {
  if (content === null || content === undefined || content === "") return [];
  if (typeof content === "string") return [{ kind: "text", text: content }];
  if (Array.isArray(content)) return content.flatMap(parts);
  const b = object(content);
  if (!b) return [{ kind: "json", value: content }];
  switch (b.type) {
    case "text":
    case "input_text":
    case "output_text":
    case "summary_text":
      return [{ kind: "text", text: text(b.text) }];
    case "thinking":
    case "reasoning":
      return [{ kind: "reasoning", text: text(b.thinking) || text(b.text) }];
    case "refusal":
      return [{ kind: "refusal", text: text(b.refusal) }];
    case "tool_use":
      return [call(text(b.id), text(b.name), b.input)];
    case "image_url":
    case "input_image":
    case "image":
      return [media("image", b)];
    case "input_audio":
    case "audio":
      return [media("audio", b)];
    case "file":
    case "input_file":
    case "document":
      return [media("file", b)];
    default:
      return [{ kind: "json", value: content }];
  }
}

function media(label: string, block: Obj): Part {
  return { kind: "media", label, bytes: JSON.stringify(block).length };
}

function call(id: string, name: string, args: unknown): Part {
  return { kind: "call", id, name, args: typeof args === "string" ? args : JSON.stringify(args ?? {}) };
}

function roleOf(role: string): [Role, string] {
  switch (role) {
    case "system":
    case "developer":
      return ["system", role === "system" ? "System" : "Developer"];
    case "user":
      return ["user", "User"];
    case "assistant":
    case "model":
      return ["assistant", "Assistant"];
    case "tool":
    case "function":
      return ["tool", "Tool result"];
    default:
      return ["other", role || "Message"];
  }
}

function parse(s: string | null): unknown {
  if (!s) return undefined;
  try {
    return JSON.parse(s) as unknown;
  } catch {
    return undefined;
  }
}

function object(v: unknown): Obj | undefined {
  return typeof v === "object" && v !== null && !Array.isArray(v) ? (v as Obj) : undefined;
}

function text(v: unknown): string {
  return typeof v === "string" ? v : "";
}
