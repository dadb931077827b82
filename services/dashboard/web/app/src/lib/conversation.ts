// A request's and a response's bodies as one thread of turns. It reads what chat clients
// send (messages, content parts, tool calls), answers (choices, or a stream's chunks), and
// block-shaped messages. What it does not know becomes JSON, so nothing is hidden.

import { isStream, read } from "./event-stream";

export type Role = "system" | "user" | "assistant" | "tool" | "other";

export type Part =
  | { kind: "text"; text: string }
  | { kind: "reasoning"; text: string }
  | { kind: "refusal"; text: string }
  | { kind: "call"; id: string; name: string; args: string; result?: Part[] }
  | { kind: "media"; label: string; media: Media }
  | { kind: "json"; text: string };

/** What is not text. data is base64; a url is where it lay, and is not asked. */
export interface Media {
  type: string;
  bytes: number;
  data?: string;
  url?: string;
}

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
export function conversation(request: unknown, response: string | null): Turn[] | null {
  const req = object(request);
  if (!req) return null;
  const turns: Turn[] = [];
  for (const name of ["system", "instructions"]) {
    if (req[name] !== undefined) turns.push({ role: "system", label: "System", parts: parts(req[name]) });
  }
  const messages = req.messages ?? req.input ?? req.prompt;
  if (messages === undefined) return null;
  for (const m of Array.isArray(messages) ? (messages as unknown[]) : [messages]) turns.push(...message(m));
  turns.push(...answer(response));
  return matched(turns);
}

/** matched puts a tool's result to the call that it answers; one that answers none stays in the thread. */
function matched(turns: Turn[]): Turn[] {
  const calls = new Map<string, Extract<Part, { kind: "call" }>>();
  for (const t of turns) for (const p of t.parts) if (p.kind === "call" && p.id) calls.set(p.id, p);
  return turns.filter((t) => {
    const call = t.callID ? calls.get(t.callID) : undefined;
    if (!call || call.result) return true;
    call.result = t.parts;
    return false;
  });
}

/** toolNames lists the tools a request offers. */
export function toolNames(request: unknown): string[] {
  const tools = object(request)?.tools;
  if (!Array.isArray(tools)) return [];
  return tools.flatMap((t) => {
    const o = object(t);
    return text(object(o?.function)?.name) || text(o?.name) || text(o?.type) || [];
  });
}

function message(raw: unknown): Turn[] {
  if (typeof raw === "string") return [{ role: "user", label: "User", parts: [{ kind: "text", text: raw }] }];
  const m = object(raw);
  if (!m) return [{ role: "other", label: "Message", parts: [json(raw)] }];
  if (m.type === "reasoning") return [{ role: "assistant", label: "Assistant", parts: reasoningOf(m) }];
  if (m.type === "function_call") {
    return [{ role: "assistant", label: "Assistant", parts: [call(text(m.call_id), text(m.name), m.arguments)] }];
  }
  if (m.type === "function_call_output") {
    return [{ role: "tool", label: "Tool result", parts: parts(m.output), callID: text(m.call_id) }];
  }
  if (m.role === undefined && m.type !== undefined && m.type !== "message") return [{ role: "other", label: text(m.type), parts: [json(m)] }];
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
  const sound = object(m.audio);
  if (sound?.data) turn.parts.push(media("audio", text(sound.data), "audio/wav"), ...parts(sound.transcript));
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
  const o = object(parse(response) ?? (isStream(response) ? joined(response) : undefined));
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

/** joined makes the answer that the events of a stream come to. */
function joined(stream: string): Obj {
  const events = read(stream).flatMap((e): Obj[] => [object(parse(e.data)) ?? {}]);
  const whole = events.find((e) => e.type === "response.completed" || e.type === "response.incomplete" || e.type === "response.failed");
  if (whole) return object(whole.response) ?? {};
  return events.some((e) => e.type === "message_start") ? blocks(events) : choices(events);
}

/** choices joins the deltas of a chat stream. */
function choices(events: Obj[]): Obj {
  const all: Obj[] = [];
  for (const chunk of events) {
    for (const raw of Array.isArray(chunk.choices) ? (chunk.choices as unknown[]) : []) {
      const c = object(raw);
      const delta = object(c?.delta);
      const choice = (all[place(c?.index)] ??= { message: { role: "assistant", content: "", reasoning_content: "", tool_calls: [] } });
      const m = choice.message as { content: string; reasoning_content: string; tool_calls: { id: string; function: { name: string; arguments: string } }[] };
      m.content += text(delta?.content) || text(c?.text);
      m.reasoning_content += text(delta?.reasoning_content) || text(delta?.reasoning);
      if (c?.finish_reason) choice.finish_reason = c.finish_reason;
      for (const d of Array.isArray(delta?.tool_calls) ? (delta.tool_calls as unknown[]) : []) {
        const o = object(d);
        const f = object(o?.function);
        const have = (m.tool_calls[place(o?.index)] ??= { id: "", function: { name: "", arguments: "" } });
        have.id ||= text(o?.id);
        have.function.name += text(f?.name);
        have.function.arguments += text(f?.arguments);
      }
    }
  }
  return { choices: all.filter(Boolean) };
}

/** blocks joins the deltas of a stream of content blocks. */
function blocks(events: Obj[]): Obj {
  const content: Obj[] = [];
  let stop: unknown;
  for (const e of events) {
    const delta = object(e.delta);
    if (e.type === "content_block_start") content[place(e.index)] = { ...object(e.content_block) };
    if (e.type === "message_delta") stop = delta?.stop_reason ?? stop;
    const b = content[place(e.index)];
    if (e.type !== "content_block_delta" || !b) continue;
    if (delta?.type === "text_delta") b.text = text(b.text) + text(delta.text);
    if (delta?.type === "thinking_delta") b.thinking = text(b.thinking) + text(delta.thinking);
    if (delta?.type === "input_json_delta") b.input = (typeof b.input === "string" ? b.input : "") + text(delta.partial_json);
  }
  return { role: "assistant", content: content.filter(Boolean), stop_reason: stop };
}

const maxPlace = 128; // choices, calls and blocks that a stream may number

function place(v: unknown): number {
  return typeof v === "number" && Number.isInteger(v) && v >= 0 && v < maxPlace ? v : 0;
}

/** parts reads a message's content: text, or a list of blocks. */
function parts(content: unknown): Part[] {
  if (content === null || content === undefined || content === "") return [];
  if (typeof content === "string") return [{ kind: "text", text: content }];
  if (Array.isArray(content)) return content.flatMap(parts);
  const b = object(content);
  if (!b) return [json(content)];
  switch (b.type) {
    case "text":
    case "input_text":
    case "output_text":
    case "summary_text":
      return [{ kind: "text", text: text(b.text) }];
    case "thinking":
    case "reasoning":
    case "redacted_thinking":
      return reasoningOf(b);
    case "refusal":
      return [{ kind: "refusal", text: text(b.refusal) }];
    case "tool_use":
    case "server_tool_use":
      return [call(text(b.id), text(b.name), b.input)];
    case "image_url":
    case "input_image":
      return [media("image", text(object(b.image_url)?.url) || text(b.image_url), "image/png")];
    case "image":
    case "document": {
      const source = object(b.source);
      if (source?.type === "text") return [{ kind: "text", text: text(source.data) }];
      return [media(b.type === "image" ? "image" : "file", text(source?.data) || text(source?.url), text(source?.media_type))];
    }
    case "input_audio":
    case "audio": {
      const sound = object(b.input_audio) ?? b;
      return [media("audio", text(sound.data), `audio/${text(sound.format) || "wav"}`)];
    }
    case "file":
    case "input_file": {
      const file = object(b.file) ?? b;
      return [media(text(file.filename) || "file", text(file.file_data) || text(file.file_url), "application/octet-stream")];
    }
    default:
      return [json(content)];
  }
}

function reasoningOf(b: Obj): Part[] {
  const said = [b.thinking, b.text, ...[b.summary, b.content].flatMap((list) => (Array.isArray(list) ? list.map((s) => object(s)?.text) : []))];
  const words = said.map(text).filter(Boolean).join("\n\n");
  return [{ kind: "reasoning", text: words || "(kept secret by the provider)" }];
}

const json = (value: unknown): Part => ({ kind: "json", text: JSON.stringify(value) ?? "null" });

/** media reads a data: URL, an address, or base64 of the given type. */
function media(label: string, source: string, type: string): Part {
  const inline = /^data:([^;,]*)[^,]*,/.exec(source.slice(0, 200));
  if (inline) return { kind: "media", label, media: base64(inline[1] || type, source.slice(inline[0].length)) };
  if (/^[a-z][a-z0-9+.-]*:/i.test(source.slice(0, 40))) return { kind: "media", label, media: { type, bytes: 0, url: source } };
  return { kind: "media", label, media: base64(type, source) };
}

const base64 = (type: string, data: string): Media => ({ type, bytes: Math.floor((data.length * 3) / 4), data });

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

function parse(s: string): unknown {
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
