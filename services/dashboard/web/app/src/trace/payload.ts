// The page's side of the worker that reads bodies.
import { queryOptions, type UseQueryResult } from "@tanstack/react-query";
import { ApiError, basePath, type TraceDetail } from "../api/client";
import type { Chunk, Opened, Turns } from "../lib/bodies";

type Which = "request" | "response";

type Asked =
  | { ask: "open" }
  | { ask: "turns"; start: number }
  | { ask: "text"; ref: number; start: number }
  | { ask: "chunks"; start: number }
  | { ask: "raw" | "blob"; which: Which }
  | { ask: "picture"; ref: number };

export type Question = { id: number; ask: "abort" } | ({ id: number; url: string; tenant?: string } & Asked);

export interface Answer {
  id: number;
  value?: unknown;
  fault?: { status: number; code: string; message: string; requestID: string };
}

let worker: Worker | undefined;
let last = 0;
const waiting = new Map<number, { resolve: (v: unknown) => void; reject: (e: Error) => void }>();

function start(): Worker {
  const w = new Worker(new URL("./payload.worker.ts", import.meta.url), { type: "module" });
  w.onmessage = ({ data: { id, value, fault } }: MessageEvent<Answer>) => {
    const one = waiting.get(id);
    waiting.delete(id);
    if (fault) one?.reject(new ApiError(fault.status, fault.code, fault.message, fault.requestID));
    else one?.resolve(value);
  };
  w.onerror = () => {
    // It could not be loaded, or ran out of memory: the next question starts another.
    for (const one of waiting.values()) one.reject(new ApiError(0, "worker", "The part of the page that reads bodies stopped."));
    waiting.clear();
    w.terminate();
    worker = undefined;
  };
  return w;
}

function ask<T>(url: string, tenant: string | undefined, asked: Asked, signal?: AbortSignal): Promise<T> {
  worker ??= start();
  const id = ++last;
  const w = worker;
  signal?.addEventListener("abort", () => w.postMessage({ id, ask: "abort" } satisfies Question));
  return new Promise<T>((resolve, reject) => {
    waiting.set(id, { resolve: resolve as (v: unknown) => void, reject });
    w.postMessage({ id, url, tenant, ...asked } satisfies Question);
  });
}

/** Source asks for more of the bodies of one trace. */
export interface Source {
  turns: (start: number) => Promise<Turns>;
  text: (ref: number, start: number) => Promise<string>;
  chunks: (start: number) => Promise<Chunk[]>;
  raw: (which: Which) => Promise<string>;
  blob: (which: Which) => Promise<Blob>;
  picture: (ref: number) => Promise<Blob>;
}

/** payload decrypts: asked only when a trace is open, kept only while it is. */
export const payload = (tenant: string | undefined, id: string) => {
  const url = new URL(`${basePath}/api/v1/traces/${encodeURIComponent(id)}/payload`, location.origin).href;
  return queryOptions({
    queryKey: ["payload", tenant, id],
    queryFn: async ({ signal }): Promise<Opened & { source: Source }> => {
      const opened = await ask<Opened>(url, tenant, { ask: "open" }, signal);
      const source: Source = {
        turns: (start) => ask(url, tenant, { ask: "turns", start }),
        text: (ref, start) => ask(url, tenant, { ask: "text", ref, start }),
        chunks: (start) => ask(url, tenant, { ask: "chunks", start }),
        raw: (which) => ask(url, tenant, { ask: "raw", which }),
        blob: (which) => ask(url, tenant, { ask: "blob", which }),
        picture: (ref) => ask(url, tenant, { ask: "picture", ref }),
      };
      return { ...opened, source };
    },
    structuralSharing: false,
    staleTime: Infinity,
    gcTime: 30_000,
    retry: (n, e) => n < 1 && !(e instanceof ApiError && e.status >= 400),
  });
};

/** Content says what is known of a trace's bodies; each state has its own words on screen. */
export type Content =
  | { state: "loading" }
  | { state: "not_recorded" }
  | { state: "shredded" }
  | { state: "no_right" }
  | { state: "expired" }
  | { state: "unreadable"; message: string; retry: () => void }
  | { state: "failed"; error: Error; retry: () => void }
  | ({ state: "ready"; source: Source } & Opened);

type Missing = Exclude<Content, { state: "ready" }>;
export type { Missing };

/** contentOf reads the state of the question for the bodies. */
export function contentOf(
  recorded: TraceDetail["payload_state"] | undefined,
  canDecrypt: boolean,
  q: Pick<UseQueryResult<Opened & { source: Source }>, "data" | "error"> & { refetch: () => unknown },
): Content {
  if (recorded === undefined) return { state: "loading" };
  if (recorded !== "available") return { state: recorded };
  if (!canDecrypt) return { state: "no_right" };
  if (q.data) return { state: "ready", ...q.data };
  if (!q.error) return { state: "loading" };
  const retry = () => void q.refetch();
  if (q.error instanceof ApiError) {
    if (q.error.status === 403) return { state: "no_right" };
    if (q.error.code === "payload_not_recorded") return { state: "not_recorded" };
    if (q.error.code === "payload_shredded") return { state: "shredded" };
    if (q.error.code === "payload_unreadable") return { state: "unreadable", message: q.error.message, retry };
    if (q.error.status === 404) return { state: "expired" };
  }
  return { state: "failed", error: q.error, retry };
}

/** save hands a file to the browser's downloads. */
export function save(content: Blob, name: string) {
  const url = URL.createObjectURL(content);
  const a = document.createElement("a");
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the download has begun by then
}
