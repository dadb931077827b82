import { memo } from "react";
import type { Trace } from "../../api/client";
import { clock, compact, day, exactTime, ms } from "../../lib/format";
import { Icon } from "../icons";
import { Cost, LatencyBar, Provider, Status } from "../trace-bits";

interface Props {
  trace: Trace;
  index: number;
  top: number;
  selected: boolean;
  focusable: boolean;
  /** The longest latency a full bar stands for, in milliseconds. */
  longest: number;
  onOpen: (index: number) => void;
}

/** Row is one trace. Plain elements: there are many. */
export const Row = memo(function Row({ trace: t, index, top, selected, focusable, longest, onOpen }: Props) {
  const tags = Object.entries(t.tags);
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      aria-selected={selected}
      tabIndex={focusable ? 0 : -1}
      className={selected ? "row selected" : "row"}
      style={{ transform: `translateY(${top}px)` }}
      data-id={t.id}
      data-index={index}
      onClick={() => onOpen(index)}
    >
      <div role="gridcell" className="mono when" title={exactTime(t.started_at)}>
        <span className="dim">{day(t.started_at)}</span> {clock(t.started_at)}
      </div>
      <div role="gridcell">
        <Status trace={t} />
      </div>
      <div role="gridcell" className="model" title={t.model}>
        <Provider name={t.provider} />
        <span className="ellipsis">{t.model}</span>
        {t.attempts > 1 && (
          <span className="tagged warn" title={`${t.attempts} attempts`}>
            <Icon name="branch" size={12} /> {t.attempts}
          </span>
        )}
      </div>
      <div role="gridcell" className="ellipsis col-provider">
        {t.provider}
      </div>
      <div role="gridcell" className="ellipsis col-key">
        {t.key_name ?? t.key_id}
      </div>
      <div role="gridcell" className="tags col-tags">
        {tags.map(([k, v]) => (
          <span key={k} className="tag">
            {k}:{v}
          </span>
        ))}
      </div>
      <div role="gridcell" className="number">
        {compact(t.tokens_in)}
        <span className="dim arrow">→</span>
        {compact(t.tokens_out)}
      </div>
      <div role="gridcell" className="latency">
        <LatencyBar trace={t} longest={longest} />
        <span className="number">{ms(t.latency_ms)}</span>
      </div>
      <div role="gridcell" className="number">
        <Cost trace={t} />
      </div>
    </div>
  );
});
