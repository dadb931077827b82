import { memo } from "react";
import type { Trace } from "../../api/client";
import type { ColumnID } from "../../lib/columns";
import { clock, compact, day, exactTime, ms } from "../../lib/format";
import { nameable, type ListFilter } from "../../lib/search";
import { Icon } from "../icons";
import { Cost, LatencyBar, Provider, Status } from "../trace-bits";

interface Props {
  trace: Trace;
  chosen: ColumnID[];
  index: number;
  top: number;
  selected: boolean;
  focusable: boolean;
  /** The longest latency a full bar stands for, in milliseconds. */
  longest: number;
}

/** Row is one trace. Plain elements, and one listener for all of them in the table: there are many. */
export const Row = memo(function Row({ trace, chosen, index, top, selected, focusable, longest }: Props) {
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      aria-selected={selected}
      tabIndex={focusable ? 0 : -1}
      className={selected ? "row selected" : "row"}
      style={{ transform: `translateY(${top}px)` }}
      data-id={trace.id}
      data-index={index}
    >
      {chosen.map((id) => cell(id, trace, longest))}
    </div>
  );
});

function cell(id: ColumnID, t: Trace, longest: number) {
  switch (id) {
    case "time":
      return (
        <div role="gridcell" key={id} className="mono when" title={exactTime(t.started_at)}>
          <span className="dim">{day(t.started_at)}</span> {clock(t.started_at)}
        </div>
      );
    case "status":
      return (
        <div role="gridcell" key={id}>
          <Status trace={t} />
        </div>
      );
    case "model":
      return (
        <div role="gridcell" key={id} className="model">
          <Provider name={t.provider} />
          <Value name="model" value={t.model} />
          {t.attempts > 1 && (
            <span className="tagged warn" title={`${t.attempts} attempts`}>
              <Icon name="branch" size={12} /> {t.attempts}
              <span className="vh"> attempts</span>
            </span>
          )}
        </div>
      );
    case "provider":
      return (
        <div role="gridcell" key={id} className="cell">
          <Value name="provider" value={t.provider} />
        </div>
      );
    case "key":
      return (
        <div role="gridcell" key={id} className="cell">
          <Value name="key" value={t.key_id} label={t.key_name ?? t.key_id} />
        </div>
      );
    case "tags":
      return (
        <div role="gridcell" key={id} className="tags" title={Object.entries(t.tags).map(([k, v]) => `${k}:${v}`).join("\n")}>
          {Object.entries(t.tags).map(([k, v]) => (
            <button
              key={k}
              tabIndex={-1}
              className="tag"
              disabled={!nameable(k)}
              data-filter="tag"
              data-value={`${k}:${v}`}
              title={`Only ${k}:${v}`}
            >
              {k}:{v}
            </button>
          ))}
        </div>
      );
    case "session":
      return (
        <div role="gridcell" key={id} className="cell mono">
          {t.session_id && <Value name="session" value={t.session_id} />}
        </div>
      );
    case "tokens":
      return (
        <div role="gridcell" key={id} className="number">
          {compact(t.tokens_in)}
          <span className="dim arrow">→</span>
          {compact(t.tokens_out)}
        </div>
      );
    case "ttft":
      return (
        <div role="gridcell" key={id} className="number">
          {ms(t.ttft_ms)}
        </div>
      );
    case "latency":
      return (
        <div role="gridcell" key={id} className="latency">
          <LatencyBar trace={t} longest={longest} />
          <span className="number">{ms(t.latency_ms)}</span>
        </div>
      );
    case "cost":
      return (
        <div role="gridcell" key={id} className="number">
          <Cost trace={t} />
        </div>
      );
  }
}

/** Value is filtered by with a click; the arrow keys lead to it from the row. */
function Value({ name, value, label = value }: { name: ListFilter; value: string; label?: string }) {
  return (
    <button tabIndex={-1} className="value ellipsis" data-filter={name} data-value={value} title={`Only ${name} ${label}`}>
      {label}
    </button>
  );
}
