// Fetches bodies, reads them and keeps them, so that the page does none of it.
import { Bodies, type Recorded } from "../lib/bodies";
import type { Answer, Question } from "./payload";

const kept = new Map<string, Bodies>(); // the last few, the newest last
const maxKept = 2;
const running = new Map<number, AbortController>();

/** Refused is an answer of the API other than the bodies. */
class Refused extends Error {
  constructor(readonly fault: { status: number; code: string; message: string; requestID: string }) {
    super(fault.message);
  }
}

onmessage = async ({ data: q }: MessageEvent<Question>) => {
  if (q.ask === "abort") return running.get(q.id)?.abort();
  const aborted = new AbortController();
  running.set(q.id, aborted);
  try {
    const b = kept.get(q.url) ?? (await fetched(q.url, q.tenant, aborted.signal));
    kept.delete(q.url);
    kept.set(q.url, b);
    for (const url of [...kept.keys()].slice(0, -maxKept)) kept.delete(url);
    reply({ id: q.id, value: answer(b, q) });
  } catch (e) {
    const broken = { status: 0, code: "unreadable_answer", message: e instanceof Error ? e.message : String(e), requestID: "" };
    reply({ id: q.id, fault: e instanceof Refused ? e.fault : broken });
  } finally {
    running.delete(q.id);
  }
};

const reply = (a: Answer) => postMessage(a);

function answer(b: Bodies, q: Exclude<Question, { ask: "abort" }>): unknown {
  switch (q.ask) {
    case "open":
      return b.opened;
    case "turns":
      return b.from(q.start);
    case "text":
      return b.slice(q.ref, q.start);
    case "chunks":
      return b.chunks(q.start);
    case "raw":
      return b.raw(q.which);
    case "blob":
      return b.blob(q.which);
    case "picture":
      return b.picture(q.ref);
  }
}

async function fetched(url: string, tenant: string | undefined, signal: AbortSignal): Promise<Bodies> {
  let r: Response;
  try {
    r = await fetch(url, { headers: tenant ? { "X-Loom-Tenant": tenant } : {}, credentials: "same-origin", signal });
  } catch {
    throw new Refused({ status: 0, code: "unreachable", message: "The dashboard service does not answer. Is it running?", requestID: "" });
  }
  if (!r.ok) {
    const told = ((await r.json().catch(() => null)) as { error?: { code?: string; message?: string; request_id?: string } } | null)?.error;
    throw new Refused({
      status: r.status,
      code: told?.code ?? "unknown",
      message: told?.message ?? `The dashboard service answered with status ${r.status}.`,
      requestID: told?.request_id ?? "",
    });
  }
  const { request, response } = (await r.json()) as { request: Recorded | null; response: Recorded | null };
  return new Bodies(request, response);
}
