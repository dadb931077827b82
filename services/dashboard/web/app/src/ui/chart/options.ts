import uPlot from "uplot";
import { day, hourMinute } from "../../lib/format";
import type { Plot } from "./plot";

/** token reads a colour or font of the style sheet; charts are canvas and cannot inherit. */
export const token = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export interface Draw {
  plot: Plot;
  width: number;
  height: number;
  /** Formats a tick of the value axis. */
  tick: (n: number) => string;
  /** false: no axes, for a strip. */
  axes: boolean;
  onCursor: (u: uPlot) => void;
  onSelect: (from: number, to: number) => void;
  /** The step under a click, and the value at its height. */
  onClick?: (index: number, value: number) => void;
}

/** options is everything uPlot needs for one chart: bars stacked on each other, or lines. */
export function options(d: Draw): uPlot.Options {
  const { plot } = d;
  const stacked = plot.mode === "stack";
  const ink = token("--text-3");
  const font = `11px ${token("--font-ui")}`;
  const first = plot.t[0] ?? 0;
  const last = plot.t.at(-1) ?? 1;
  return {
    width: d.width,
    height: d.height,
    padding: d.axes ? [8, 22, 0, 0] : [2, 0, 0, 0],
    legend: { show: false },
    cursor: {
      // The crosshair is shared, what is dragged or clicked is this chart's own.
      sync: { key: "loom", filters: { sub: (event) => event === "mousemove" || event === "mouseleave", pub: () => true } },
      y: false,
      points: { show: !stacked, size: 6 },
      drag: { x: true, y: false, setScale: false },
    },
    scales: {
      x: { time: true, range: () => (stacked ? [first - plot.step / 2, last + plot.step / 2] : [first, Math.max(last, first + 1)]) },
      y: { range: (_u, _min, max) => [0, (max || 1) * 1.08] },
    },
    axes: [
      {
        show: d.axes,
        stroke: ink,
        font,
        size: 26,
        space: 76,
        grid: { show: false },
        ticks: { show: false },
        values: (_u, at) => at.map((s) => (plot.step >= 86_400 || s % 86_400 === midnight(s) ? day(s * 1000) : hourMinute(s * 1000))),
      },
      {
        show: d.axes,
        stroke: ink,
        font,
        // As wide as its longest label, but the same for most, so that charts line up.
        size: (_u, labels) => Math.max(50, ...(labels ?? []).map((l) => l.length * 6.6 + 12)),
        gap: 6,
        space: 36,
        grid: { stroke: token("--grid"), width: 1 },
        ticks: { show: false },
        incrs: plot.whole ? wholeSteps : undefined,
        values: (_u, at) => at.map(d.tick),
      },
    ],
    series: [{}, ...plot.drawn.map((s) => (stacked ? bars(token(s.color)) : line(token(s.color))))],
    hooks: {
      setCursor: [d.onCursor],
      ready: d.onClick ? [(u) => listen(u, d.onClick)] : [],
      draw: stacked && plot.partialLast ? [(u) => hatch(u, plot)] : [],
      setSelect: [
        (u) => {
          if (u.select.width < 6) return;
          const at = (px: number) => u.posToVal(px, "x") + (stacked ? plot.step / 2 : 0);
          d.onSelect(at(u.select.left), at(u.select.left + u.select.width));
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  };
}

/** listen tells of clicks, which are not the end of a drag. */
function listen(u: uPlot, onClick: Draw["onClick"]) {
  let down = 0;
  u.over.addEventListener("mousedown", (e) => (down = e.clientX));
  u.over.addEventListener("click", (e) => {
    const { idx } = u.cursor;
    if (idx != null && Math.abs(e.clientX - down) < 4) onClick?.(idx, u.posToVal(e.offsetY, "y"));
  });
}

const wholeSteps = [1, 2, 5].flatMap((n) => Array.from({ length: 13 }, (_, e) => n * 10 ** e)).sort((a, b) => a - b);

/** Seconds of the day, in UTC, at which the local day of that instant begins. */
const midnight = (s: number) => ((new Date(s * 1000).getTimezoneOffset() * 60) % 86_400 + 86_400) % 86_400;

function bars(color: string): uPlot.Series {
  return {
    fill: color,
    stroke: token("--surface"),
    width: 1,
    paths: uPlot.paths.bars?.({ size: [0.8, 40], align: 0 }),
    points: { show: false },
  };
}

function line(color: string): uPlot.Series {
  return { stroke: color, width: 1.75, spanGaps: false, points: { show: false, size: 5, width: 0, fill: color, filter: alone } };
}

/** alone picks the points that no line reaches, which would not be seen. */
function alone(u: uPlot, series: number): number[] | null {
  const values = u.data[series];
  if (!values) return null;
  const at: number[] = [];
  for (let i = 0; i < values.length; i++) {
    if (values[i] != null && values[i - 1] == null && values[i + 1] == null) at.push(i);
  }
  return at;
}

/** hatch marks the last interval, which has not ended. */
function hatch(u: uPlot, plot: Plot) {
  const last = plot.t.at(-1);
  if (last === undefined) return;
  const left = u.valToPos(last - plot.step / 2, "x", true);
  const right = u.valToPos(last + plot.step / 2, "x", true);
  const { top, height } = u.bbox;
  const { ctx } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, right - left, height);
  ctx.clip();
  ctx.strokeStyle = token("--surface");
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.beginPath();
  for (let x = left - height; x < right; x += 5 * devicePixelRatio) {
    ctx.moveTo(x, top + height);
    ctx.lineTo(x + height, top);
  }
  ctx.stroke();
  ctx.restore();
}
