import type { Plot } from "./plot";

interface Props {
  plot: Plot;
  hidden: ReadonlySet<string>;
  onHidden: (hidden: ReadonlySet<string>) => void;
  format?: (total: string | null) => string;
}

/** Legend names the series; a click hides one, with Alt it leaves only that one. */
export function Legend({ plot, hidden, onHidden, format }: Props) {
  const click = (key: string, only: boolean) => {
    const others = plot.lines.map((l) => l.key).filter((k) => k !== key);
    if (only) return onHidden(new Set(others.every((k) => hidden.has(k)) ? [] : others));
    const next = new Set(hidden);
    if (!next.delete(key)) next.add(key);
    onHidden(next);
  };
  return (
    <div className="legend">
      {plot.lines.map((l) => (
        <button key={l.key} aria-pressed={!hidden.has(l.key)} onClick={(e) => click(l.key, e.altKey)} title="Click hides, Alt-click shows only this">
          <i style={{ background: `var(${l.color})` }} />
          <span className="ellipsis">{l.label}</span>
          {format && <span className="dim">{format(l.total)}</span>}
        </button>
      ))}
    </div>
  );
}
