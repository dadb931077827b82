import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { follow, silence, type TailState } from "./tail";

/** service answers each request with the next of its answers, and notes what it was asked. */
function service(...answers: (() => Response | Promise<Response>)[]) {
  const asked: Record<string, string>[] = [];
  vi.stubGlobal("fetch", (_url: string, init: RequestInit) => {
    asked.push(init.headers as Record<string, string>);
    const next = answers.shift();
    if (!next) return new Promise((_, reject) => init.signal?.addEventListener("abort", () => reject(new DOMException("", "AbortError"))));
    return Promise.resolve(next());
  });
  return asked;
}

const stream = (...pieces: string[]) => () =>
  new Response(new Blob(pieces).stream(), { status: 200, headers: { "Content-Type": "text/event-stream" } });

function start() {
  const stop = new AbortController();
  const seen: string[] = [];
  const states: TailState[] = [];
  const pauses: number[] = [];
  const done = follow({
    url: "/tail",
    headers: { "X-Loom-Tenant": "acme" },
    onEvent: (event, data) => seen.push(`${event} ${data}`),
    onState: (s) => {
      states.push(s);
      if (s.name === "waiting") pauses.push(s.until - Date.now());
    },
    signal: stop.signal,
  });
  return { seen, states, pauses, stop, done };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("follow", () => {
  test("goes on after the last event it has seen", async () => {
    const asked = service(stream("id: 1\nevent: trace\ndata: a\n\n", "id: 2\nevent: trace\ndata: b\n\nid: 3\nevent: tra"), stream("id: 3\nevent: trace\ndata: c\n\n"));
    const t = start();
    await vi.waitFor(() => expect(t.states.at(-1)?.name).toBe("waiting"));
    expect(t.seen).toEqual(["trace a", "trace b"]);
    await vi.advanceTimersByTimeAsync(1_000);
    await vi.waitFor(() => expect(t.seen).toEqual(["trace a", "trace b", "trace c"]));
    expect(asked[0]).not.toHaveProperty("Last-Event-ID");
    expect(asked[0]).toMatchObject({ "X-Loom-Tenant": "acme" });
    expect(asked[1]).toMatchObject({ "Last-Event-ID": "2" });
    t.stop.abort();
    await vi.advanceTimersByTimeAsync(1_000);
    await t.done;
  });

  test("waits longer each time, and says why", async () => {
    const away = () => Promise.reject(new TypeError("refused"));
    service(away, away, away, away, away, away, away, () => new Response('{"error":{"message":"Starting."}}', { status: 503 }));
    const t = start();
    while (t.pauses.length < 8) await vi.advanceTimersByTimeAsync(1_000);
    const nominal = [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000];
    t.pauses.forEach((pause, i) => {
      expect(pause / (nominal[i] ?? 0)).toBeGreaterThanOrEqual(0.75);
      expect(pause / (nominal[i] ?? 0)).toBeLessThanOrEqual(1.25);
    });
    const waits = t.states.filter((s) => s.name === "waiting");
    expect(waits[0]).toMatchObject({ why: "The connection was lost." });
    expect(waits[7]).toMatchObject({ why: "Starting." });
    t.stop.abort();
    await vi.advanceTimersByTimeAsync(0);
    await t.done;
  });

  test.each([401, 403, 400])("a %i is final", async (status) => {
    service(() => new Response('{"error":{"message":"No."}}', { status }));
    const t = start();
    await t.done;
    expect(t.states.at(-1)).toEqual({ name: "refused", status, why: "No." });
  });

  test("too many streams: it comes again later", async () => {
    service(() => new Response("", { status: 429 }), stream("data: a\n\n"));
    const t = start();
    await vi.waitFor(() => expect(t.states.at(-1)).toMatchObject({ name: "waiting", why: "The dashboard service answered with status 429." }));
    await vi.advanceTimersByTimeAsync(29_000);
    expect(t.seen).toEqual([]);
    await vi.advanceTimersByTimeAsync(1_001);
    await vi.waitFor(() => expect(t.seen).toEqual(["message a"]));
    t.stop.abort();
    await vi.advanceTimersByTimeAsync(0);
    await t.done;
  });

  test("a stream that has gone silent is opened again", async () => {
    const asked = service(() => new Response(new ReadableStream<Uint8Array>({ start: (c) => c.enqueue(new TextEncoder().encode(": here\n\n")) })));
    vi.stubGlobal("fetch", withAbort(fetch));
    const t = start();
    await vi.waitFor(() => expect(t.states.at(-1)?.name).toBe("live"));
    await vi.advanceTimersByTimeAsync(silence - 1_000);
    expect(asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(3_000);
    await vi.waitFor(() => expect(asked).toHaveLength(2));
    t.stop.abort();
    await vi.advanceTimersByTimeAsync(0);
    await t.done;
  });

  test("stopping while it waits ends it", async () => {
    service(() => Promise.reject(new TypeError("refused")));
    const t = start();
    await vi.waitFor(() => expect(t.states.at(-1)?.name).toBe("waiting"));
    t.stop.abort();
    await t.done;
    expect(t.states.at(-1)?.name).toBe("waiting");
  });
});

/** withAbort makes an answer's body fail when its request is given up, as a browser does. */
function withAbort(ask: typeof fetch): typeof fetch {
  return async (url, init) => {
    const answer = await ask(url, init);
    const source = answer.body?.getReader();
    const body = new ReadableStream<Uint8Array>({
      start: (c) => init?.signal?.addEventListener("abort", () => c.error(new DOMException("", "AbortError"))),
      pull: async (c) => {
        const next = await source?.read();
        if (next?.value) c.enqueue(next.value);
      },
    });
    return new Response(body, { status: answer.status });
  };
}
