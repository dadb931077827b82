// What a chat completion says, whole or in pieces; only what the playground shows.

export interface Piece {
  text?: string;
  /** What the model thought before it answered, where its provider tells. */
  thought?: string;
  finish?: string;
  usage?: { tokensIn: number; tokensOut: number };
  /** The provider or the gateway gave up. */
  error?: string;
}

/** piece reads the data of one event of a streamed answer; null is its end. */
export function piece(data: string): Piece | null {
  if (data.trim() === "[DONE]") return null;
  const body = parsed(data);
  if (body === undefined) return { error: "The answer has a piece that is not JSON." };
  return { ...said(first(body), "delta"), ...counted(body), ...failed(body) };
}

/** answer reads an answer that came in one piece. */
export function answer(text: string): Piece {
  const body = parsed(text);
  if (body === undefined) return { error: "The answer is not JSON." };
  return { ...said(first(body), "message"), ...counted(body), ...failed(body) };
}

/** refusal is why a request got no answer. */
export function refusal(status: number, text: string): string {
  const { error } = failed(parsed(text));
  return error ?? `The gateway answered with status ${status}.`;
}

type Json = Record<string, unknown>;

const object = (v: unknown): Json | undefined => (typeof v === "object" && v !== null && !Array.isArray(v) ? (v as Json) : undefined);
const first = (body: Json) => (Array.isArray(body.choices) ? object(body.choices[0]) : undefined);
const string = (v: unknown) => (typeof v === "string" && v !== "" ? v : undefined);

function parsed(text: string): Json | undefined {
  try {
    return object(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function said(choice: Json | undefined, where: "delta" | "message"): Piece {
  const part = object(choice?.[where]);
  return dropped({
    text: string(part?.content) ?? string(part?.refusal),
    thought: string(part?.reasoning_content) ?? string(part?.reasoning),
    finish: string(choice?.finish_reason),
  });
}

function counted(body: Json): Piece {
  const usage = object(body.usage);
  const [tokensIn, tokensOut] = [usage?.prompt_tokens, usage?.completion_tokens];
  return typeof tokensIn === "number" && typeof tokensOut === "number" ? { usage: { tokensIn, tokensOut } } : {};
}

function failed(body: Json | undefined): Piece {
  const error = body?.error;
  if (error === undefined || error === null) return {};
  const said = object(error);
  return { error: string(said?.message) ?? string(error) ?? "It failed without a reason." };
}

function dropped(p: Piece): Piece {
  return Object.fromEntries(Object.entries(p).filter(([, v]) => v !== undefined));
}
