import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useEffectEvent, useRef, useState } from "react";
import uPlot from "uplot";
import { zoomed } from "../../lib/window";
import { useWindow } from "../../window";
import { options } from "./options";
import { seriesAt, type Plot } from "./plot";
import { fillTooltip } from "./tooltip";

/** An interval of a chart that someone chose, and the series where they pointed at one. */
export interface Pick {
  from: string;
  to: string;
  /** null: the interval as a whole, or the sum of all others. */
  key: string | null;
}

interface Props {
  plot: Plot;
  height: number;
  label: string;
  format: (n: number | null) => string;
  tick: (n: number) => string;
  axes?: boolean;
  /** Makes a click choose the bar under it. */
  onPick?: (pick: Pick) => void;
}

/** Chart draws a plot. Dragging over it makes the chosen time the page's window. */
export function Chart({ plot, height, label, format, tick, axes = true, onPick }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const tip = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const { zoom } = useWindow();
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });

  useEffect(() => {
    if (!box.current) return;
    const observer = new ResizeObserver(([e]) => setWidth(Math.floor(e?.contentRect.width ?? 0)));
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);

  const onSelect = useEffectEvent((from: number, to: number) => zoom(zoomed(from, to)));
  const onCursor = useEffectEvent((u: uPlot) => {
    if (tip.current) fillTooltip(tip.current, u, plot, format);
  });
  const onTick = useEffectEvent(tick);
  const onClick = useEffectEvent((index: number, value: number) => {
    const at = plot.t[index];
    if (at !== undefined) onPick?.({ ...zoomed(at, at + plot.step), key: seriesAt(plot, index, value) });
  });
  const clickable = onPick !== undefined;

  useEffect(() => {
    if (width === 0 || !box.current || plot.t.length === 0) return;
    const u = new uPlot(
      options({ plot, width, height, axes, tick: onTick, onCursor, onSelect, onClick: clickable ? onClick : undefined }),
      [plot.t, ...plot.drawn.map((l) => l.values)] as uPlot.AlignedData,
      box.current,
    );
    return () => u.destroy();
  }, [plot, width, height, axes, scheme, clickable]);

  return (
    <div className={clickable ? "chart clickable" : "chart"} ref={box} role="img" aria-label={label} style={{ height }}>
      <div className="tooltip" ref={tip} aria-hidden="true" />
    </div>
  );
}
