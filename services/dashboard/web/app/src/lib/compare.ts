// A side of a comparison is a query string in the URL: filters of its own and a window of its own. What it does not
// say is the page's; window=before is the window right before the page's.
import { clean, filtersOf, parse, presets, stringify, type Filters } from "./search";
import { resolve } from "./window";

export interface Side {
  filters: Filters;
  /** Its own window, the one before the page's, or the page's. */
  window: { from: string; to: string } | "before" | "page";
}

interface Scoped {
  from: string;
  to: string;
  filters: Filters;
}

/** side reads one; now is what a relative window of its own ends at. */
export function side(text: string, now: string): Side {
  const raw = parse(text);
  const s = clean(raw);
  const filters = filtersOf(s);
  if (s.from && s.to) return { filters, window: { from: s.from, to: s.to } };
  const range = presets.find((p) => p === raw.range);
  if (range) {
    const { from, to } = resolve({ range }, Date.parse(now));
    return { filters, window: { from, to } };
  }
  return { filters, window: raw.window === "before" ? "before" : "page" };
}

/** sideText is side's inverse. */
export function sideText({ filters, window }: Side): string {
  const own = window === "page" ? {} : window === "before" ? { window } : window;
  return stringify({ ...filtersOf(filters), ...own }).slice(1); // always in the same order
}

/** scopeOf is the window and the filters that a side stands for on a page. */
export function scopeOf(s: Side, page: Scoped): Scoped {
  return { ...span(s.window, page), filters: { ...page.filters, ...s.filters } };
}

/** question is what the API is asked for a side: the query string of a summary. */
export function question(s: Scoped): string {
  return stringify({ from: s.from, to: s.to, ...s.filters }).slice(1);
}

function span(window: Side["window"], page: Scoped): { from: string; to: string } {
  if (window === "page") return { from: page.from, to: page.to };
  if (window !== "before") return window;
  const [from, to] = [Date.parse(page.from), Date.parse(page.to)];
  return { from: new Date(2 * from - to).toISOString(), to: page.from };
}

/** ofModel is the side of one model of one provider. */
export function ofModel(provider: string, model: string): string {
  return sideText({ filters: { provider: [provider], model: [model] }, window: "page" });
}
