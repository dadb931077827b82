// Every question the pages ask. A key names the tenant, the window and the filters, so
// parts of a page that ask the same question share one answer.
import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import type { Filters, Group, Metric } from "../lib/search";
import { client, data } from "./client";

/** Scope is what all questions of a page have in common. */
export interface Scope {
  tenant?: string;
  from: string;
  to: string;
  filters: Filters;
}

/** header names the tenant that is asked about. */
export const header = (tenant?: string) => (tenant ? { "X-Loom-Tenant": tenant } : {});
export const query = (s: Scope) => ({ from: s.from, to: s.to, ...s.filters });

export const me = () =>
  queryOptions({
    queryKey: ["me"],
    queryFn: ({ signal }) => data(client.GET("/api/v1/me", { signal })),
    staleTime: 5 * 60_000,
    refetchOnWindowFocus: "always", // another tab may have logged in as someone else
  });

export const summary = (s: Scope) =>
  queryOptions({
    queryKey: ["summary", s],
    queryFn: ({ signal }) =>
      data(client.GET("/api/v1/summary", { params: { query: query(s), header: header(s.tenant) }, signal })),
    placeholderData: keepPreviousData,
  });

export const timeseries = (s: Scope, metric: Metric | "errors" | "latency", by?: Group) =>
  queryOptions({
    queryKey: ["timeseries", s, metric, by],
    queryFn: ({ signal }) =>
      data(
        client.GET("/api/v1/timeseries", {
          params: { query: { ...query(s), metric, by }, header: header(s.tenant) },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
  });

/** volume is how many requests there were and how they ended. */
export const volume = (s: Scope) =>
  queryOptions({
    queryKey: ["volume", s],
    queryFn: ({ signal }) =>
      data(
        client.GET("/api/v1/timeseries", {
          params: { query: { ...query(s), metric: "requests", by: "outcome" }, header: header(s.tenant) },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
  });

/** facets are the values there are to filter by, and how many requests fit all filters. */
export const facets = (s: Scope) =>
  queryOptions({
    queryKey: ["facets", s],
    queryFn: ({ signal }) => data(client.GET("/api/v1/facets", { params: { query: query(s), header: header(s.tenant) }, signal })),
    placeholderData: keepPreviousData,
  });

export const pageSize = 200;

export const traces = (s: Scope) =>
  infiniteQueryOptions({
    queryKey: ["traces", s],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      data(
        client.GET("/api/v1/traces", {
          params: { query: { ...query(s), cursor: pageParam, limit: pageSize }, header: header(s.tenant) },
          signal,
        }),
      ),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
    staleTime: Infinity, // a new window is a new question
    gcTime: 60_000,
  });

/** anyTrace says whether the tenant has a trace of the last year: without one, people need a first request. */
export const anyTrace = (tenant: string | undefined) =>
  queryOptions({
    queryKey: ["any-trace", tenant],
    queryFn: async ({ signal }) => {
      const now = Date.now();
      const year = { from: new Date(now - 365 * 86_400_000).toISOString(), to: new Date(now + 60_000).toISOString() };
      const page = await data(
        client.GET("/api/v1/traces", { params: { query: { ...year, limit: 1 }, header: header(tenant) }, signal }),
      );
      return page.items.length > 0;
    },
    staleTime: Infinity,
  });

export const trace = (tenant: string | undefined, id: string) =>
  queryOptions({
    queryKey: ["trace", tenant, id],
    queryFn: ({ signal }) =>
      data(client.GET("/api/v1/traces/{id}", { params: { path: { id }, header: header(tenant) }, signal })),
    // A trace does not change, only its cost arrives a moment later.
    staleTime: (q) => (q.state.data?.cost_status === "pending" ? 0 : Infinity),
    refetchInterval: (q) => (q.state.data?.cost_status === "pending" && q.state.dataUpdateCount < 10 ? 2_000 : false),
  });
