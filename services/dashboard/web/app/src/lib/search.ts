// The URL's query is the state of the dashboard: window, filters, grouping, open trace.
// It is written plainly (model=a&model=b), so that people can read, edit and share it.

export const presets = ["15m", "1h", "6h", "24h", "7d", "30d"] as const;
export const groups = ["model", "provider", "key"] as const;
export const metrics = ["cost", "requests", "tokens"] as const;
export const outcomes = ["completed", "failed", "canceled", "interrupted"] as const;
export const tabs = ["conversation", "request", "response", "metadata"] as const;

export type Preset = (typeof presets)[number];
export type Group = (typeof groups)[number];
export type Metric = (typeof metrics)[number];
export type Outcome = (typeof outcomes)[number];
export type Tab = (typeof tabs)[number];

/** What narrows a list. Names are the API's own. */
export interface Filters {
  model?: string[];
  provider?: string[];
  key?: string[];
  status?: "ok" | "error";
  outcome?: Outcome[];
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
  /** The tenant an admin looks at. */
  tenant?: string;
}

export const defaultRange: Preset = "24h";

const maxValues = 20; // the API's own bound

/** clean keeps what is valid and drops the rest: a URL can say anything. */
export function clean(raw: Record<string, unknown>): Search {
  const s: Search = {};
  const from = instant(raw.from);
  const to = instant(raw.to);
  if (from && to && from < to) {
    s.from = from;
    s.to = to;
  } else {
    const range = oneOf(presets, raw.range);
    if (range && range !== defaultRange) s.range = range;
  }
  for (const name of ["model", "provider", "key"] as const) {
    const values = list(raw[name]);
    if (values.length > 0) s[name] = values;
  }
  const outcome = list(raw.outcome).flatMap((v) => oneOf(outcomes, v) ?? []);
  if (outcome.length > 0) s.outcome = outcome;
  s.status = oneOf(["ok", "error"] as const, last(raw.status));
  s.by = oneOf(groups, last(raw.by));
  s.metric = oneOf(metrics, last(raw.metric));
  s.tab = oneOf(tabs, last(raw.tab));
  const trace = last(raw.trace);
  if (trace && trace.length <= 64) s.trace = trace;
  const tenant = last(raw.tenant);
  if (tenant && tenant.length <= 64) s.tenant = tenant;
  for (const k of Object.keys(s) as (keyof Search)[]) if (s[k] === undefined) delete s[k];
  return s;
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
  const { trace: _, tab: __, ...rest } = s;
  return rest;
}

export const filtersOf = (s: Search): Filters => ({
  model: s.model,
  provider: s.provider,
  key: s.key,
  status: s.status,
  outcome: s.outcome,
});

export const filtered = (s: Search) => Object.values(filtersOf(s)).some((v) => v !== undefined);

/** withoutFilters takes the filters away and leaves the rest. */
export function withoutFilters(s: Search): Search {
  const { model: _m, provider: _p, key: _k, status: _s, outcome: _o, ...rest } = s;
  return rest;
}

/** toggled adds a value to a list filter, or takes it away. */
export function toggled<T extends string>(values: readonly T[] | undefined, value: T): T[] | undefined {
  const without = (values ?? []).filter((v) => v !== value);
  const next = without.length === (values ?? []).length ? [...without, value] : without;
  return next.length > 0 ? next.slice(-maxValues) : undefined;
}

function oneOf<T extends string>(all: readonly T[], v: unknown): T | undefined {
  return all.find((x) => x === v);
}

function last(v: unknown): string | undefined {
  const one: unknown = Array.isArray(v) ? v.at(-1) : v;
  return typeof one === "string" ? one : undefined;
}

function list(v: unknown): string[] {
  const values: unknown[] = Array.isArray(v) ? v : [v];
  const texts = values.filter((x): x is string => typeof x === "string" && x !== "" && x.length <= 512);
  return [...new Set(texts)].slice(0, maxValues);
}

function instant(v: unknown): string | undefined {
  const t = last(v);
  if (!t || !/^\d{4}-\d\d-\d\dT/.test(t)) return undefined;
  const n = Date.parse(t);
  return Number.isNaN(n) ? undefined : new Date(n).toISOString();
}
