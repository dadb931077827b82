import { readJSON, write } from "./storage";
import { carried, clean, filtersOf, noFilters, parse, stringify, type Search } from "./search";

/** A name for a query string; views belong to a tenant and to this browser. */
export interface View {
  name: string;
  query: string;
}

const maxViews = 50;
const maxName = 60;

const key = (tenant: string) => `loom-views:${tenant}`;

export function views(tenant: string): View[] {
  const kept = readJSON(key(tenant));
  if (!Array.isArray(kept)) return [];
  return (kept as unknown[]).filter(
    (v): v is View => typeof v === "object" && v !== null && typeof (v as View).name === "string" && typeof (v as View).query === "string",
  );
}

/** saveView keeps the state under a name, instead of what had that name; it returns all views. */
export function saveView(tenant: string, name: string, s: Search): View[] {
  const { tenant: _, ...state } = carried(s);
  const view = { name: name.trim().slice(0, maxName), query: stringify({ ...state }) };
  const next = [...views(tenant).filter((v) => v.name !== view.name), view].slice(-maxViews);
  write(key(tenant), JSON.stringify(next));
  return next;
}

export function removeView(tenant: string, name: string): View[] {
  const next = views(tenant).filter((v) => v.name !== name);
  write(key(tenant), JSON.stringify(next));
  return next;
}

/** viewSearch is the patch that goes to a view: its window, grouping and filters, and no others. */
export function viewSearch(v: View): Search {
  return { range: undefined, from: undefined, to: undefined, by: undefined, metric: undefined, ...noFilters, ...clean(parse(v.query)) };
}

/** What is known of the window, for the views that go by it. */
export interface Measures {
  p95: number | null | undefined;
  requests: number | undefined;
  cost: string | null | undefined;
}

/** A view that is always there; it keeps the window and replaces the filters. */
export interface BuiltIn {
  name: string;
  filters: Search;
}

/** builtIns leaves out what cannot be told of this window. */
export function builtIns(m: Measures): BuiltIn[] {
  const all: BuiltIn[] = [{ name: "Errors", filters: { status: "error" } }];
  if (m.p95 != null && m.p95 >= 1) all.push({ name: "Slow", filters: { min_latency_ms: Math.floor(m.p95) } });
  const mean = m.requests && m.cost != null ? Number(m.cost) / m.requests : 0;
  const least = Number((mean * 5).toPrecision(2));
  if (least > 0) all.push({ name: "Expensive", filters: { min_cost_usd: plain(least) } });
  all.push({ name: "Fallbacks", filters: { retried: true } }, { name: "Unpriced", filters: { cost_status: ["unpriced"] } });
  return all.map((v) => ({ ...v, filters: { ...noFilters, ...v.filters } }));
}

/** isView says whether exactly these filters are on. */
export const isView = (s: Search, filters: Search) => JSON.stringify(filtersOf(s)) === JSON.stringify(filtersOf(filters));

/** plain writes a number without an exponent, in the places that the API takes. */
function plain(n: number): string {
  return n.toFixed(12).replace(/\.?0+$/, "");
}
