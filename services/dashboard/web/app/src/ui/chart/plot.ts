import type { Timeseries } from "../../api/client";
import { slots } from "../../lib/color";

/** One series with its colour, as a variable of the style sheet. */
export interface Line {
  key: string;
  label: string;
  color: string;
  total: string | null;
  values: (number | null)[];
}

/** Plot is a time series ready to be drawn. */
export interface Plot {
  mode: "stack" | "lines";
  t: number[];
  step: number;
  partialLast: boolean;
  /** Values are counts: no axis tick between whole numbers. */
  whole: boolean;
  /** All series, in the order of the legend. */
  lines: Line[];
  /** What is seen, in drawing order; of a stack each value is the sum of those below and itself. */
  drawn: Line[];
  /** The sum of what is seen, for each step. */
  sums: number[];
}

const other = "\u0000other"; // no series has this key

const percentiles: Record<string, string> = { p50: "--latency-1", p95: "--latency-2", p99: "--latency-3" };
const results: Record<string, string> = {
  completed: "--series-ok",
  failed: "--error",
  interrupted: "--warn-solid",
  canceled: "--series-other",
};

/** plot lays out an answer of the API; hidden names the series that the legend has switched off. */
export function plot(data: Timeseries, mode: Plot["mode"], whole: boolean, hidden: ReadonlySet<string>): Plot {
  const slot = slots(data.series);
  const lines = data.series.map<Line>((s, i) => ({
    key: s.other ? other : s.key,
    label: s.label || "(none)",
    color: percentiles[s.key] ?? results[s.key] ?? (slot[i] === -1 ? "--series-other" : `--series-${(slot[i] ?? 0) + 1}`),
    total: s.total,
    values: s.values,
  }));
  const seen = lines.filter((l) => !hidden.has(l.key));
  const sums = data.t.map(() => 0);
  if (mode === "lines") {
    return { mode, whole, t: data.t, step: data.step_s, partialLast: data.partial_last, lines, drawn: seen, sums };
  }
  // uPlot draws over what it has drawn: the tallest first.
  const drawn = seen
    .map((l) => ({ ...l, values: l.values.map((v, k) => (sums[k] = (sums[k] ?? 0) + (v ?? 0))) }))
    .reverse();
  return { mode, whole, t: data.t, step: data.step_s, partialLast: data.partial_last, lines, drawn, sums };
}

/** seriesAt is the series that a stack has at that height; null above it, and for the sum of all others. */
export function seriesAt(p: Plot, index: number, value: number): string | null {
  // Drawn from the top down: the last whose top is not below the value.
  const hit = p.drawn.findLast((l) => (l.values[index] ?? 0) >= value);
  return p.mode === "lines" || !hit || hit.key === other ? null : hit.key;
}
