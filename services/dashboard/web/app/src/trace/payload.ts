import type { UseQueryResult } from "@tanstack/react-query";
import { ApiError, type Body, type Payload, type TraceDetail } from "../api/client";

/** A body as text, or as bytes where it is not text. */
export interface Content {
  /** null: not text. */
  text: string | null;
  base64: string | null;
  truncated: boolean;
  bytes: number;
}

/** Bodies says what is known of a trace's bodies; each state has its own words on screen. */
export type Bodies =
  | { state: "loading" }
  | { state: "not_recorded" }
  | { state: "shredded" }
  | { state: "no_right" }
  | { state: "unreadable"; message: string; retry: () => void }
  | { state: "failed"; error: Error; retry: () => void }
  | { state: "ready"; request: Content | null; response: Content | null };

/** bodies reads the state of the question for the bodies. */
export function bodies(recorded: TraceDetail["payload_state"] | undefined, canDecrypt: boolean, q: UseQueryResult<Payload>): Bodies {
  if (recorded === undefined) return { state: "loading" };
  if (recorded !== "available") return { state: recorded };
  if (!canDecrypt) return { state: "no_right" };
  if (q.data) return { state: "ready", request: content(q.data.request), response: content(q.data.response) };
  if (!q.error) return { state: "loading" };
  const retry = () => void q.refetch();
  if (q.error instanceof ApiError) {
    if (q.error.status === 403) return { state: "no_right" };
    if (q.error.code === "payload_not_recorded") return { state: "not_recorded" };
    if (q.error.code === "payload_shredded") return { state: "shredded" };
    if (q.error.code === "payload_unreadable") return { state: "unreadable", message: q.error.message, retry };
  }
  return { state: "failed", error: q.error, retry };
}

function content(b: Body | null): Content | null {
  if (!b) return null;
  return { text: b.text ?? null, base64: b.base64 ?? null, truncated: b.truncated, bytes: b.length };
}
