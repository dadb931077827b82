// The URL's query is the state of the dashboard: window, filters, grouping, open trace.
// It is written plainly (model=a&model=b), so that people can read, edit and share it.

export const presets = ["15m", "1h", "6h", "24h", "7d", "30d"] as const;
export const groups = ["model", "provider", "key"] as const;
export const metrics = ["cost", "requests", "tokens"] as const;
export const outcomes = ["completed", "failed", "canceled", "interrupted"] as const;
export const costStatuses = ["priced", "unpriced", "no_usage"] as const;
export const tabs = ["conversation", "request", "response", "stream", "metadata"] as const;

/** Filters that take any of several values. */
export const listFilters = ["model", "provider", "key", "tag", "session"] as const;
/** Filters that are on, off or not asked about. */
export const flagFilters = ["stream", "cached", "retried"] as const;

export type Preset = (typeof presets)[number];
export type Group = (typeof groups)[number] | `tag:${string}`;
export type Metric = (typeof metrics)[number];
export type Outcome = (typeof outcomes)[number];
export type CostStatus = (typeof costStatuses)[number];
export type Tab = (typeof tabs)[number];
export type ListFilter = (typeof listFilters)[number];
export type FlagFilter = (typeof flagFilters)[number];

/** What narrows a list. Names and forms are the API's own. */
export interface Filters {
  model?: string[];
  provider?: string[];
  key?: string[];
  /** Each a tag's name and value, as name:value. */
  tag?: string[];
  session?: string[];
  status?: "ok" | "error";
  outcome?: Outcome[];
  http_status?: number[];
  cost_status?: CostStatus[];
  stream?: boolean;
  cached?: boolean;
  retried?: boolean;
  /** Decimal US dollars. */
  min_cost_usd?: string;
  min_latency_ms?: number;
}

/** The whole state. A preset stays relative; from and to are RFC 3339 and come together. */
export interface Search extends Filters {
  range?: Preset;
  from?: string;
  to?: string;
  by?: Group;
  metric?: Metric;
  trace?: string;
  tab?: Tab;
  /** The column a table is sorted by; after "-", the largest first. */
  sort?: string;
  /** The two sides of a comparison, each a query string of its own. */
  a?: string;
  b?: string;
  /** The tenant an admin looks at. */
  tenant?: string;
}

export const defaultRange: Preset = "24h";

const maxValues = 20; // the API's own bound
const maxText = 512; // likewise
const maxLatency = 86_400_000;
const maxSide = 2048;

/** clean keeps what is valid and drops the rest: a URL can say anything. */
export function clean(raw: Record<string, unknown>): Search {
  const s: Search = {};
  const from = instant(raw.from);
  const to = instant(raw.to);
  if (from && to && from < to) {
    s.from = from;
    s.to = to;
  } else {
    const range = oneOf(presets, last(raw.range));
    if (range && range !== defaultRange) s.range = range;
  }
  for (const name of listFilters) {
    const values = list(raw[name]).filter((v) => name !== "tag" || /^[^:]+:/.test(v));
    if (values.length > 0) s[name] = values;
  }
  const outcome = list(raw.outcome).flatMap((v) => oneOf(outcomes, v) ?? []);
  if (outcome.length > 0) s.outcome = outcome;
  const http = list(raw.http_status).filter((v) => /^[0-9]{1,3}$/.test(v) && Number(v) < 600);
  if (http.length > 0) s.http_status = [...new Set(http.map(Number))];
  const cost = list(raw.cost_status).flatMap((v) => oneOf(costStatuses, v) ?? []);
  if (cost.length > 0) s.cost_status = cost;
  s.status = oneOf(["ok", "error"] as const, last(raw.status));
  for (const name of flagFilters) s[name] = flag(raw[name]);
  const minCost = last(raw.min_cost_usd);
  if (minCost && /^[0-9]{1,6}(\.[0-9]{1,12})?$/.test(minCost)) s.min_cost_usd = minCost;
  const minLatency = last(raw.min_latency_ms);
  if (minLatency && /^[0-9]{1,8}(\.[0-9]{1,3})?$/.test(minLatency) && Number(minLatency) <= maxLatency) s.min_latency_ms = Number(minLatency);
  s.by = grouping(raw.by);
  s.metric = oneOf(metrics, last(raw.metric));
  s.tab = oneOf(tabs, last(raw.tab));
  const trace = last(raw.trace);
  if (trace && trace.length <= 64) s.trace = trace;
  const sort = last(raw.sort);
  if (sort && /^-?[a-z0-9_]{1,32}$/.test(sort)) s.sort = sort;
  for (const side of ["a", "b"] as const) {
    const query = last(raw[side]);
    if (query !== undefined && query.length <= maxSide) s[side] = query;
  }
  const tenant = last(raw.tenant);
  if (tenant && tenant.length <= 64) s.tenant = tenant;
  for (const k of Object.keys(s) as (keyof Search)[]) if (s[k] === undefined) delete s[k];
  return s;
}

/** grouping reads what a chart or a table goes by: a dimension, or a tag by its name. */
export function grouping(v: unknown): Group | undefined {
  const one = last(v);
  if (one && /^tag:.+$/.test(one) && one.length <= 128) return one as Group;
  return oneOf(groups, one);
}

/** parse reads a query string; a name given more than once becomes a list. */
export function parse(query: string): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  for (const [k, v] of new URLSearchParams(query)) {
    const have = out[k];
    out[k] = have === undefined ? v : Array.isArray(have) ? [...have, v] : [have, v];
  }
  return { ...out };
}

/** stringify is parse's inverse, with the leading "?" where there is anything. */
export function stringify(search: Record<string, unknown>): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(search)) {
    for (const one of Array.isArray(v) ? v : [v]) if (one !== undefined && one !== null) q.append(k, String(one));
  }
  const s = q.toString().replaceAll("%3A", ":");
  return s ? "?" + s : "";
}

/** carried is what follows from page to page: window, filters, tenant, grouping. */
export function carried(s: Search): Search {
  const { trace: _, tab: _t, sort: _s, a: _a, b: _b, ...rest } = s;
  return rest;
}

/** noFilters is a patch that takes every filter away. */
export const noFilters = {
  model: undefined,
  provider: undefined,
  key: undefined,
  tag: undefined,
  session: undefined,
  status: undefined,
  outcome: undefined,
  http_status: undefined,
  cost_status: undefined,
  stream: undefined,
  cached: undefined,
  retried: undefined,
  min_cost_usd: undefined,
  min_latency_ms: undefined,
} satisfies Record<keyof Filters, undefined>;

const filterNames = Object.keys(noFilters) as (keyof Filters)[];

/** filtersOf is the part of the state that narrows what is counted and listed. */
export function filtersOf(s: Search): Filters {
  return Object.fromEntries(filterNames.filter((n) => s[n] !== undefined).map((n) => [n, s[n]]));
}

export const filtered = (s: Search) => filterNames.some((n) => s[n] !== undefined);

/** withoutFilters takes the filters away and leaves the rest. */
export function withoutFilters(s: Search): Search {
  return Object.fromEntries(Object.entries(s).filter(([k]) => !(k in noFilters)));
}

/** One value that is filtered by, and the patch that takes it away. */
export interface Applied {
  name: keyof Filters;
  value: string;
  without: Search;
}

/** applied lists the filters value by value, in a fixed order. */
export function applied(s: Search): Applied[] {
  return filterNames.flatMap((name): Applied[] => {
    const v = s[name];
    if (v === undefined) return [];
    if (!Array.isArray(v)) return [{ name, value: String(v), without: { [name]: undefined } }];
    return v.map((one) => ({ name, value: String(one), without: { [name]: toggled<string | number>(v, one) } }));
  });
}

/** added narrows by one more value, where it is not yet there. */
export function added(s: Search, name: ListFilter, value: string): Search {
  return s[name]?.includes(value) ? {} : { [name]: toggled(s[name], value) };
}

/** toggled adds a value to a list filter, or takes it away. */
export function toggled<T extends string | number>(values: readonly T[] | undefined, value: T): T[] | undefined {
  const without = (values ?? []).filter((v) => v !== value);
  const next = without.length === (values ?? []).length ? [...without, value] : without;
  return next.length > 0 ? next.slice(-maxValues) : undefined;
}

function oneOf<T extends string>(all: readonly T[], v: unknown): T | undefined {
  return all.find((x) => x === v);
}

/** text is a value as the URL has it: this runs over what pages set, too. */
function text(v: unknown): string | undefined {
  if (typeof v === "string") return v;
  return typeof v === "number" || typeof v === "boolean" ? String(v) : undefined;
}

function last(v: unknown): string | undefined {
  return text(Array.isArray(v) ? (v.at(-1) as unknown) : v);
}

function list(v: unknown): string[] {
  const values: unknown[] = Array.isArray(v) ? v : [v];
  const texts = values.map(text).filter((x) => x !== undefined && x !== "" && x.length <= maxText);
  return [...new Set(texts as string[])].slice(0, maxValues);
}

function flag(v: unknown): boolean | undefined {
  const one = last(v);
  return one === "true" ? true : one === "false" ? false : undefined;
}

function instant(v: unknown): string | undefined {
  const t = last(v);
  if (!t || !/^\d{4}-\d\d-\d\dT/.test(t)) return undefined;
  const n = Date.parse(t);
  return Number.isNaN(n) ? undefined : new Date(n).toISOString();
}

/** nameable says whether a filter can name a tag: the name ends at the first colon. */
export const nameable = (tag: string) => !tag.includes(":");
