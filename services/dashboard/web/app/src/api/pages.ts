// What the pages beside Overview and Traces ask.
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import type { Group } from "../lib/search";
import { client, data } from "./client";
import { header, query, type Scope } from "./queries";

export const costs = (s: Scope, by: Group) =>
  queryOptions({
    queryKey: ["costs", s, by],
    queryFn: ({ signal }) => data(client.GET("/api/v1/costs", { params: { query: { ...query(s), by }, header: header(s.tenant) }, signal })),
    placeholderData: keepPreviousData,
  });

export const models = (s: Scope) =>
  queryOptions({
    queryKey: ["models", s],
    queryFn: ({ signal }) => data(client.GET("/api/v1/models", { params: { query: query(s), header: header(s.tenant) }, signal })),
    placeholderData: keepPreviousData,
  });

/** comparison asks for two summaries; a and b are query strings of /summary. */
export const comparison = (tenant: string | undefined, a: string, b: string) =>
  queryOptions({
    queryKey: ["compare", tenant, a, b],
    queryFn: ({ signal }) => data(client.GET("/api/v1/compare", { params: { query: { a, b }, header: header(tenant) }, signal })),
    placeholderData: keepPreviousData,
  });

export const pipeline = () =>
  queryOptions({
    queryKey: ["pipeline"],
    queryFn: ({ signal }) => data(client.GET("/api/v1/admin/pipeline", { signal })),
    staleTime: 0,
    refetchInterval: 5_000, // not while the page is hidden
  });
