import { events } from "./event-stream";

/** What a stream is doing. */
export type TailState =
  | { name: "connecting" }
  | { name: "live" }
  /** Lost, and tried again at that time (milliseconds); why is for people. */
  | { name: "waiting"; until: number; why: string }
  /** The service has refused in a way that trying again does not change. */
  | { name: "refused"; status: number; why: string };

export interface Tail {
  url: string;
  headers: Record<string, string>;
  /** Reads an event; id is its place in the stream. */
  onEvent: (event: string, data: string) => void;
  onState: (state: TailState) => void;
  signal: AbortSignal;
}

export const silence = 45_000; // ms; three of the service's comments
const first = 500;
const longest = 15_000;
const crowded = 30_000; // after 429: somebody has to leave first

/**
 * follow reads a stream until signal says stop. Where it is cut, it goes on after the last event it has seen. Waits grow
 * from half a second to fifteen, and fall back once an event or a comment has come.
 */
export async function follow(t: Tail): Promise<void> {
  let last = "";
  let failures = 0;
  t.onState({ name: "connecting" });
  while (!t.signal.aborted) {
    const attempt = new AbortController();
    const stop = () => attempt.abort();
    t.signal.addEventListener("abort", stop, { once: true });
    let watch: ReturnType<typeof setTimeout> | undefined;
    const beat = () => {
      clearTimeout(watch);
      watch = setTimeout(stop, silence);
    };
    let why = "The connection was lost.";
    let pause = 0;
    try {
      beat();
      const answer = await fetch(t.url, {
        headers: { ...t.headers, Accept: "text/event-stream", ...(last && { "Last-Event-ID": last }) },
        credentials: "same-origin",
        cache: "no-store",
        signal: attempt.signal,
      });
      if (!answer.ok || !answer.body) {
        why = await reason(answer);
        if (answer.status >= 400 && answer.status < 500 && answer.status !== 408 && answer.status !== 429) {
          return t.onState({ name: "refused", status: answer.status, why });
        }
        if (answer.status === 429) pause = crowded;
      } else {
        t.onState({ name: "live" });
        for await (const e of events(answer.body, () => (beat(), (failures = 0)))) {
          if (e.id) last = e.id;
          t.onEvent(e.event, e.data);
        }
      }
    } catch {
      if (t.signal.aborted) return;
      // Cut, silent or out of reach: all the same, it is tried again.
    } finally {
      clearTimeout(watch);
      t.signal.removeEventListener("abort", stop);
    }
    if (t.signal.aborted) return;
    pause ||= Math.min(longest, first * 2 ** failures) * (0.75 + Math.random() / 2);
    failures++;
    t.onState({ name: "waiting", until: Date.now() + pause, why });
    await wait(pause, t.signal);
  }
}

async function reason(answer: Response): Promise<string> {
  try {
    const { error } = (await answer.json()) as { error?: { message?: unknown } };
    if (typeof error?.message === "string") return error.message;
  } catch {
    // Not the API's own words.
  }
  return `The dashboard service answered with status ${answer.status}.`;
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(end, ms);
    function end() {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      done();
    }
    signal.addEventListener("abort", end, { once: true });
  });
}
