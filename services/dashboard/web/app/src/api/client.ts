import createClient from "openapi-fetch";
import type { components, paths } from "./schema.gen";

type Schemas = components["schemas"];
export type Me = Schemas["Me"];
export type Trace = Schemas["Trace"];
export type TracePage = Schemas["TracePage"];
export type TraceDetail = Schemas["TraceDetail"];
export type Attempt = Schemas["Attempt"];
export type Payload = Schemas["Payload"];
export type Body = Schemas["Body"];
export type Summary = Schemas["Summary"];
export type Timeseries = Schemas["Timeseries"];
export type Facets = Schemas["Facets"];
export type Facet = Schemas["Facet"];
export type Costs = Schemas["Costs"];
export type CostRow = Schemas["CostRow"];
export type ModelRow = Schemas["ModelRow"];
export type Pipeline = Schemas["Pipeline"];

/** Where the page lives; the API is below it. Ends without a slash. */
export const basePath = new URL(document.baseURI).pathname.replace(/\/$/, "");

/** client is typed from the API's own description. */
export const client = createClient<paths>({ baseUrl: basePath, credentials: "same-origin" });

/** ApiError is an answer other than the one asked for. status 0: no answer came. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestID = "",
  ) {
    super(message);
    this.name = "ApiError";
  }
}

interface Result<T> {
  data?: T;
  error?: Schemas["Error"];
  response: Response;
}

/** data waits for an answer and returns its body, or throws an ApiError that people can read. */
export async function data<T>(call: Promise<Result<T>>): Promise<T> {
  let r: Result<T>;
  try {
    r = await call;
  } catch (e) {
    if (e instanceof DOMException && e.name === "AbortError") throw e;
    throw new ApiError(0, "unreachable", "The dashboard service does not answer. Is it running?");
  }
  if (r.response.ok) return r.data as T;
  const error = (r.error as Partial<Schemas["Error"]> | undefined)?.error;
  throw new ApiError(
    r.response.status,
    error?.code ?? "unknown",
    error?.message ?? `The dashboard service answered with status ${r.response.status}.`,
    error?.request_id,
  );
}
