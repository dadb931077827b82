import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useEffectEvent, useRef, useState } from "react";
import uPlot from "uplot";
import { zoomed } from "../../lib/window";
import { useSearchState } from "../../route";
import { options } from "./options";
import type { Plot } from "./plot";
import { fillTooltip } from "./tooltip";

interface Props {
  plot: Plot;
  height: number;
  label: string;
  format: (n: number | null) => string;
  tick: (n: number) => string;
  axes?: boolean;
}

/** Chart draws a plot. Dragging over it makes the chosen time the page's window. */
export function Chart({ plot, height, label, format, tick, axes = true }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const tip = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [, set] = useSearchState();
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });

  useEffect(() => {
    if (!box.current) return;
    const observer = new ResizeObserver(([e]) => setWidth(Math.floor(e?.contentRect.width ?? 0)));
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);

  const onSelect = useEffectEvent((from: number, to: number) => set({ range: undefined, ...zoomed(from, to) }));
  const onCursor = useEffectEvent((u: uPlot) => {
    if (tip.current) fillTooltip(tip.current, u, plot, format);
  });
  const onTick = useEffectEvent(tick);

  useEffect(() => {
    if (width === 0 || !box.current || plot.t.length === 0) return;
    const u = new uPlot(
      options({ plot, width, height, axes, tick: onTick, onCursor, onSelect }),
      [plot.t, ...plot.drawn.map((l) => l.values)] as uPlot.AlignedData,
      box.current,
    );
    return () => u.destroy();
  }, [plot, width, height, axes, scheme]);

  return (
    <div className="chart" ref={box} role="img" aria-label={label} style={{ height }}>
      <div className="tooltip" ref={tip} aria-hidden="true" />
    </div>
  );
}
