import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, type ReactNode, type RefObject } from "react";
import type { Trace } from "../../api/client";
import { Row } from "./row";

export interface TableHandle {
  /** Brings a row into view and gives it the focus. */
  focus: (index: number) => void;
}

interface Props {
  rows: Trace[];
  /** Rows of placeholder while the first page loads. */
  loading: boolean;
  stale: boolean;
  selected: number;
  more: boolean;
  onMore: () => void;
  onOpen: (index: number) => void;
  onScrolled: (away: boolean) => void;
  handle: RefObject<TableHandle | null>;
  /** Stands where the rows would, when there are none. */
  empty: ReactNode;
}

const rowHeight = 34;
const ahead = 80; // rows left below when the next page is asked for

/** Table draws only the rows that can be seen, however many there are. */
export function Table(p: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const { rows, selected } = p;
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 12,
  });
  const items = virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  const { more, onMore } = p;
  useEffect(() => {
    if (more && last >= rows.length - ahead) onMore();
  }, [last, rows.length, more, onMore]);

  const { handle } = p;
  useEffect(() => {
    handle.current = {
      focus: (index) => {
        virtual.scrollToIndex(index, { align: "auto" });
        requestAnimationFrame(() => scroller.current?.querySelector<HTMLElement>(`[data-index="${index}"]`)?.focus({ preventScroll: true }));
      },
    };
  }, [handle, virtual]);

  const tagged = useMemo(() => rows.some((r) => Object.keys(r.tags).length > 0), [rows]);
  const longest = useMemo(() => scale(rows), [rows]);
  const entry = selected >= 0 && selected < rows.length ? selected : (items[0]?.index ?? 0);
  return (
    <div className={tagged ? "table tagged-rows" : "table"}>
      <div role="grid" aria-label="Traces" aria-rowcount={more ? -1 : rows.length + 1} aria-busy={p.loading} className="grid">
        <div role="rowgroup">
          <div role="row" aria-rowindex={1} className="head">
            <div role="columnheader">Time</div>
            <div role="columnheader">Status</div>
            <div role="columnheader">Model</div>
            <div role="columnheader" className="col-provider">Provider</div>
            <div role="columnheader" className="col-key">Key</div>
            <div role="columnheader" className="col-tags">Tags</div>
            <div role="columnheader" className="number">Tokens</div>
            <div role="columnheader">
              Latency
              <span className="scale" aria-hidden="true">
                <i className="first" /> first token <i className="rest" /> rest
              </span>
            </div>
            <div role="columnheader" className="number">Cost</div>
          </div>
        </div>
        <div
          role="rowgroup"
          className={p.stale ? "body stale" : "body"}
          ref={scroller}
          tabIndex={rows.length === 0 ? undefined : -1}
          onScroll={(e) => p.onScrolled(e.currentTarget.scrollTop > rowHeight)}
        >
          {p.loading ? (
            <Placeholder />
          ) : (
            <div role="presentation" className="rows" style={{ height: virtual.getTotalSize() }}>
              {items.map((v) => {
                const t = rows[v.index];
                return (
                  t && (
                    <Row
                      key={t.id}
                      trace={t}
                      index={v.index}
                      top={v.start}
                      selected={v.index === selected}
                      focusable={v.index === entry}
                      longest={longest}
                      onOpen={p.onOpen}
                    />
                  )
                );
              })}
            </div>
          )}
        </div>
      </div>
      {!p.loading && rows.length === 0 && <div className="over">{p.empty}</div>}
    </div>
  );
}

/** scale is the latency of a full bar: few rows are longer, so that one slow answer does not flatten the rest. */
function scale(rows: Trace[]): number {
  if (rows.length === 0) return 1;
  const sorted = rows.slice(0, 400).map((r) => r.latency_ms).sort((a, b) => a - b);
  return Math.max((sorted[Math.floor((sorted.length - 1) * 0.95)] ?? 1) * 1.1, 1);
}

function Placeholder() {
  return (
    <div role="presentation" aria-hidden="true">
      {Array.from({ length: 12 }, (_, i) => (
        <div key={i} className="ghost" style={{ opacity: 1 - i / 13 }}>
          <i /> <i /> <i /> <i /> <i />
        </div>
      ))}
    </div>
  );
}
