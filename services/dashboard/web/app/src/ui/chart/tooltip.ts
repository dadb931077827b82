import type uPlot from "uplot";
import { interval } from "../../lib/format";
import type { Plot } from "./plot";

/** fillTooltip shows the values under the cursor, beside it. It runs for every move, so it is plain DOM. */
export function fillTooltip(tip: HTMLElement, u: uPlot, plot: Plot, format: (n: number | null) => string) {
  const i = u.cursor.idx;
  const at = i == null ? undefined : plot.t[i];
  const x = u.cursor.left ?? -1;
  if (i == null || at === undefined || x < 0) {
    tip.classList.remove("shown");
    return;
  }
  const head = document.createElement("div");
  head.className = "when";
  head.textContent = interval(at * 1000, (at + plot.step) * 1000) + (plot.partialLast && i === plot.t.length - 1 ? ", so far" : "");
  const seen = new Set(plot.drawn.map((l) => l.key));
  const rows = plot.lines
    .filter((l) => seen.has(l.key) && (plot.mode === "lines" || (l.values[i] ?? 0) > 0))
    .map((l) => row(`var(${l.color})`, l.label, format(l.values[i] ?? null)));
  if (plot.mode === "stack" && rows.length !== 1) {
    const sum = row("transparent", "Total", format(plot.sums[i] ?? 0));
    sum.classList.add("sum");
    rows.push(sum);
  }
  tip.replaceChildren(head, ...rows);
  const left = x + u.bbox.left / devicePixelRatio;
  const width = tip.offsetWidth;
  tip.style.transform = `translate(${left + width + 24 > u.width ? left - width - 14 : left + 14}px, 10px)`;
  tip.classList.add("shown");
}

function row(color: string, label: string, value: string): HTMLElement {
  const r = document.createElement("div");
  r.className = "value";
  const swatch = document.createElement("i");
  swatch.style.background = color;
  const name = document.createElement("span");
  name.textContent = label;
  const number = document.createElement("b");
  number.textContent = value;
  r.append(swatch, name, number);
  return r;
}
