// What a page gets of a trace's bodies. Bodies are long, up to many megabytes, and a page
// that draws them, or even holds them, stands still: a worker reads them with this, and
// hands over pieces.
import { conversation, toolNames, type Media, type Part, type Turn } from "./conversation";
import { maxInline } from "./curl";
import { pretty } from "./json";
import { isStream, read } from "./event-stream";

/** A body as the API gives it. */
export interface Recorded {
  text?: string;
  base64?: string;
  truncated: boolean;
  length: number;
}

/** The start of a text, and how to ask for the rest of it. */
export interface Shown {
  text: string;
  /** Of the whole, in characters. */
  length: number;
  /** What the worker calls the whole; undefined where the start is all of it. */
  ref?: number;
}

/** A part of a turn, bounded. */
export type ShownPart =
  | { kind: "text" | "reasoning" | "refusal" | "json"; text: Shown }
  | { kind: "call"; id: string; name: string; args: Shown; result?: ShownPart[] }
  | { kind: "media"; label: string; type: string; bytes: number; ref?: number; url?: string };

export interface ShownTurn extends Omit<Turn, "parts"> {
  parts: ShownPart[];
}

/** Some of a thread's turns; next is where the ones after begin, null where there are none. */
export interface Turns {
  turns: ShownTurn[];
  next: number | null;
}

export type Form = "json" | "broken" | "stream" | "text" | "binary";

export interface Body {
  form: Form;
  bytes: number;
  truncated: boolean;
  /** Indented where it is JSON; null: not text. */
  text: Shown | null;
  /** As it came, where it is short enough for a command line. */
  inline: string | null;
}

export interface Chunk {
  event: string;
  data: string;
  bytes: number;
}

/** All that a page needs to begin with. */
export interface Opened {
  request: Body | null;
  response: Body | null;
  /** null: the request does not read as a conversation. */
  thread: { turns: number; first: Turns; answer: ShownTurn[] } | null;
  tools: string[];
  /** Of a response that was recorded as a stream. */
  chunks: number | null;
}

/** A part up to this long is drawn whole, of a longer one only the start; in characters. */
export const maxWhole = 256 * 1024;
export const maxStart = 64 * 1024;

const maxBatch = 512 * 1024; // characters in one answer to the page
const maxTurns = 50;
const maxParts = 40; // of one turn; more of them are another
const maxAnswers = 20;
const maxTools = 200;
const leastStart = 2_000; // what is shown of a part when the answer is full
export const chunksAtOnce = 200;
const maxChunk = 400;

/** Bodies are the bodies of one trace, read and kept in whole. */
export class Bodies {
  readonly opened: Opened;
  private readonly texts: string[] = [];
  private readonly media: Media[] = [];
  private readonly turns: Turn[] = [];
  private readonly events: { event: string; data: string }[];

  constructor(
    private readonly request: Recorded | null,
    private readonly response: Recorded | null,
  ) {
    const asked = parse(request?.text);
    const thread = conversation(asked, response?.text ?? null);
    const answer = thread?.filter((t) => t.answer) ?? [];
    this.turns = (thread ?? []).filter((t) => !t.answer).flatMap(split);
    this.events = response?.text !== undefined && isStream(response.text) ? read(response.text) : [];
    const budget = { left: maxBatch };
    this.opened = {
      request: request && this.body(request, asked),
      response: response && this.body(response, parse(response.text)),
      thread: thread && {
        turns: this.turns.length,
        first: this.from(0),
        answer: answer.flatMap(split).slice(0, maxAnswers).map((t) => this.turn(t, budget)),
      },
      tools: toolNames(asked).slice(0, maxTools),
      chunks: this.events.length > 0 ? this.events.length : null,
    };
  }

  /** from returns turns from one on, as many as are drawn at once. */
  from(start: number): Turns {
    const budget = { left: maxBatch };
    const turns: ShownTurn[] = [];
    let i = start;
    for (; i < this.turns.length && turns.length < maxTurns && budget.left > 0; i++) turns.push(this.turn(this.turns[i]!, budget));
    return { turns, next: i < this.turns.length ? i : null };
  }

  /** slice returns a piece of a long text that ends with a line, where lines are not too long. */
  slice(ref: number, start: number): string {
    const all = this.texts[ref] ?? "";
    return all.slice(start, cutAt(all, start, maxWhole));
  }

  chunks(start: number): Chunk[] {
    return this.events.slice(start, start + chunksAtOnce).map(({ event, data }) => ({
      event,
      data: data.length > maxChunk ? `${data.slice(0, maxChunk)}…` : data,
      bytes: new TextEncoder().encode(data).length,
    }));
  }

  /** raw is a body's text as it was recorded. */
  raw(which: "request" | "response"): string {
    return this[which]?.text ?? "";
  }

  blob(which: "request" | "response"): Blob {
    const b = this[which];
    return new Blob([b?.text ?? bytesOf(b?.base64 ?? "")], { type: "application/octet-stream" });
  }

  picture(ref: number): Blob {
    const m = this.media[ref];
    return new Blob([bytesOf(m?.data ?? "")], { type: m?.type });
  }

  private body(b: Recorded, value: unknown): Body {
    const { text } = b;
    return {
      form: formOf(text, value),
      bytes: b.length,
      truncated: b.truncated,
      text: text === undefined ? null : this.shown(value === undefined ? text : pretty(text), { left: Infinity }),
      inline: text !== undefined && text.length <= maxInline ? text : null,
    };
  }

  private turn(t: Turn, budget: { left: number }): ShownTurn {
    return { ...t, parts: t.parts.map((p) => this.part(p, t.role === "tool", budget)) };
  }

  /** data: what a tool said, which is JSON more often than prose. */
  private part(p: Part, data: boolean, budget: { left: number }): ShownPart {
    switch (p.kind) {
      case "media": {
        const { type, bytes, url } = p.media;
        return { kind: "media", label: p.label, type, bytes, url, ref: p.media.data === undefined ? undefined : this.media.push(p.media) - 1 };
      }
      case "call":
        return {
          ...p,
          args: this.shown(pretty(p.args), budget),
          result: p.result?.slice(0, maxParts).map((r) => this.part(r, true, budget)),
        };
      case "json":
        return { kind: "json", text: this.shown(pretty(p.text), budget) };
      default:
        return data && p.kind === "text"
          ? { kind: "json", text: this.shown(pretty(p.text), budget) }
          : { kind: p.kind, text: this.shown(p.text, budget) };
    }
  }

  private shown(text: string, budget: { left: number }): Shown {
    const fits = text.length <= maxWhole && text.length <= Math.max(budget.left, leastStart);
    const start = fits ? text : text.slice(0, cutAt(text, 0, Math.max(Math.min(maxStart, budget.left), leastStart)));
    budget.left -= start.length;
    return fits ? { text, length: text.length } : { text: start, length: text.length, ref: this.texts.push(text) - 1 };
  }
}

/** cutAt is where a piece ends that is no longer than limit: after a line, and never within a character. */
export function cutAt(text: string, start: number, limit: number): number {
  const end = start + limit;
  if (end >= text.length) return text.length;
  const line = text.lastIndexOf("\n", end - 1) + 1;
  if (line > start + limit / 2) return line;
  const code = text.charCodeAt(end - 1);
  return code >= 0xd800 && code <= 0xdbff ? end - 1 : end;
}

/** pieces cuts a text for drawing: a browser lays out only those that can be seen. */
export function pieces(text: string, limit = 16 * 1024): string[] {
  const out: string[] = [];
  for (let at = 0; at < text.length; ) {
    const end = cutAt(text, at, limit);
    out.push(text.slice(at, end));
    at = end;
  }
  return out;
}

/** split makes several turns of one with very many parts. */
function split(t: Turn): Turn[] {
  if (t.parts.length <= maxParts) return [t];
  return Array.from({ length: Math.ceil(t.parts.length / maxParts) }, (_, i) => ({ ...t, parts: t.parts.slice(i * maxParts, (i + 1) * maxParts) }));
}

function formOf(text: string | undefined, value: unknown): Form {
  if (text === undefined) return "binary";
  if (value !== undefined) return "json";
  if (isStream(text)) return "stream";
  return /^\s*[[{]/.test(text) ? "broken" : "text";
}

function parse(text: string | undefined): unknown {
  if (!text) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** bytesOf is empty for what is no base64. */
function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  try {
    const raw = atob(base64);
    const out = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out;
  } catch {
    return new Uint8Array();
  }
}
