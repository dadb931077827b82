import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { flatten, nothing as noRows, type Flat } from "../lib/flat";
import { Rate } from "../lib/rate";
import { stringify, type Filters } from "../lib/search";
import { follow, type TailState } from "../lib/tail";
import { basePath, client, data, type Trace } from "./client";
import { anyTrace, header } from "./queries";

export const tailURL = (filters: Filters) => `${basePath}/api/v1/traces/tail${stringify({ ...filters })}`;

/** What a live list shows. */
export interface Live {
  /** The newest first, at most maxRows. */
  list: Flat<Trace>;
  /** So many came and are not among the rows yet: the list is held. */
  waiting: number;
  state: TailState;
  perSecond: number;
  /** Traces that the service left out; unknown: at least once it did not know how many. */
  dropped: { n: number; unknown: boolean };
  /** Takes those that wait into the rows. */
  show: () => void;
  /** Begins anew. */
  restart: () => void;
}

export const maxRows = 1_000;
const before = 50; // traces of the last hour to begin with
const paint = 250; // ms between two changes of the list

const listed = (rows: Trace[]): Flat<Trace> => flatten([{ items: rows }], noRows);
const nothing = { list: listed([]), waiting: 0, perSecond: 0, dropped: { n: 0, unknown: false }, state: { name: "connecting" } as TailState };

/**
 * useTail follows the traces of a tenant that fit the filters. While held, the rows stay and what comes is counted; while
 * the page is hidden nothing is drawn and the stream goes on.
 */
export function useTail(tenant: string | undefined, filters: Filters, held: boolean): Live {
  const queries = useQueryClient();
  const [view, setView] = useState(nothing);
  const [epoch, setEpoch] = useState(0);
  const hold = useRef(held);
  const take = useRef<(force: boolean) => void>(() => undefined);
  const wanted = JSON.stringify(filters);

  useEffect(() => {
    hold.current = held;
    if (!held) take.current(false);
  }, [held]);

  useEffect(() => {
    const stop = new AbortController();
    const only = JSON.parse(wanted) as Filters;
    const rate = new Rate(Date.now());
    let rows: Trace[] = [];
    let arrived: Trace[] = [];
    let known = new Set<string>();
    let dropped = nothing.dropped;
    let state: TailState = { name: "connecting" };
    let dirty = true; // something but the rate has changed
    let moved = true; // the rows have
    let opened = false;

    const draw = (force: boolean) => {
      if (document.visibilityState === "hidden") return;
      if (force || !hold.current) {
        if (arrived.length > 0) {
          rows = [...arrived, ...rows].slice(0, maxRows);
          arrived = [];
          known = new Set(rows.map((t) => t.id));
          dirty = moved = true;
        }
      }
      const perSecond = rate.perSecond(Date.now());
      const next = { waiting: arrived.length, state, perSecond, dropped, ...(moved && { list: listed(rows) }) };
      const changed = dirty; // what follows runs later
      setView((v) => (changed || v.perSecond !== perSecond || v.waiting !== next.waiting ? { ...v, ...next } : v));
      dirty = moved = false;
    };
    take.current = draw;
    const timer = setInterval(() => draw(false), paint);
    const onVisible = () => draw(false);
    document.addEventListener("visibilitychange", onVisible);

    /** begin puts what was there before under what comes; the stream is open, so that nothing falls between. */
    const begin = async () => {
      const page = await queries.fetchQuery({
        queryKey: ["recent", tenant, wanted],
        queryFn: ({ signal }) =>
          data(client.GET("/api/v1/traces", { params: { query: { range: "1h", limit: before, ...only }, header: header(tenant) }, signal })),
        staleTime: 0,
        gcTime: 0,
        retry: 3,
      });
      if (stop.signal.aborted) return;
      const here = new Set([...arrived, ...rows].map((t) => t.id));
      rows = [...rows, ...page.items.filter((t) => !here.has(t.id))].slice(0, maxRows);
      for (const t of page.items) known.add(t.id);
      dirty = moved = true;
      draw(false);
    };

    void follow({
      url: tailURL(only),
      headers: header(tenant) as Record<string, string>,
      signal: stop.signal,
      onState: (s) => {
        state = s;
        dirty = true;
        if (s.name === "live" && !opened) {
          opened = true;
          begin().catch(() => (opened = false)); // the stream fills the list; the next one tries again
        }
        if (s.name === "refused" && s.status === 401) void queries.invalidateQueries({ queryKey: ["me"] }); // which leads to the login
        draw(false);
      },
      onEvent: (event, text) => {
        if (event === "dropped") {
          const { n } = JSON.parse(text) as { n: number | null };
          dropped = { n: dropped.n + (n ?? 0), unknown: dropped.unknown || n === null };
          if (n !== null) rate.add(Date.now(), n);
          dirty = true;
        } else if (event === "trace") {
          const t = JSON.parse(text) as Trace;
          rate.add(Date.now());
          if (known.has(t.id)) return;
          known.add(t.id);
          arrived = [t, ...arrived].slice(0, maxRows);
        }
      },
    });
    return () => {
      stop.abort();
      clearInterval(timer);
      document.removeEventListener("visibilitychange", onVisible);
      setView(nothing);
    };
  }, [tenant, wanted, epoch, queries]);

  return { ...view, show: () => take.current(true), restart: () => setEpoch((n) => n + 1) };
}

/**
 * useFirstTrace says whether a tenant that had no trace has one now. It hears of it on the tail; while that is not open
 * it asks every other second.
 */
export function useFirstTrace(tenant: string | undefined): boolean | undefined {
  const queries = useQueryClient();
  const [open, setOpen] = useState(false);
  const asked = anyTrace(tenant);
  const q = useQuery({ ...asked, refetchInterval: (now) => (now.state.data === false && !open ? 2_000 : false), refetchIntervalInBackground: true });
  const none = q.data === false;
  useEffect(() => {
    if (!none) return;
    const stop = new AbortController();
    const { queryKey } = anyTrace(tenant);
    void follow({
      url: tailURL({}),
      headers: header(tenant) as Record<string, string>,
      signal: stop.signal,
      onState: (s) => {
        setOpen(s.name === "live");
        if (s.name === "live") void queries.invalidateQueries({ queryKey }); // it may have come just before
      },
      onEvent: (event) => {
        if (event === "trace" || event === "dropped") queries.setQueryData(queryKey, true);
      },
    });
    return () => stop.abort();
  }, [none, tenant, queries]);
  return q.data;
}
