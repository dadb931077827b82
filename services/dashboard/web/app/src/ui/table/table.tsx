import { useElementSize } from "@mantine/hooks";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, type KeyboardEvent, type MouseEvent, type ReactNode, type RefObject } from "react";
import type { Trace } from "../../api/client";
import { columns, least, tracks, usualColumns, type ColumnID } from "../../lib/columns";
import type { Flat } from "../../lib/flat";
import { listFilters, type ListFilter } from "../../lib/search";
import { Row } from "./row";

export interface TableHandle {
  /** Brings a row into view and gives it the focus. */
  focus: (index: number) => void;
}

interface Props {
  list: Flat<Trace>;
  /** null: as many of the usual columns as fit. */
  chosen: ColumnID[] | null;
  /** Of all pages, where it is known. */
  total: number | undefined;
  /** Rows of placeholder while the first page loads. */
  loading: boolean;
  stale: boolean;
  selected: number;
  more: boolean;
  onMore: () => void;
  onOpen: (index: number) => void;
  onMove: (index: number) => void;
  onFilter: (name: ListFilter, value: string) => void;
  onScrolled: (away: boolean) => void;
  handle: RefObject<TableHandle | null>;
  /** Stands where the rows would, when there are none. */
  empty: ReactNode;
}

const rowHeight = 34;
const ahead = 400; // rows left below when the next page is asked for, once someone scrolls: two pages
const pageStep = 15;

/** Table draws only the rows that can be seen, however many there are. */
export function Table(p: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const { list, selected } = p;
  const { ref: frame, width } = useElementSize();
  const chosen = useMemo(() => p.chosen ?? usualColumns(width), [p.chosen, width]);
  const { rows } = list;
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 12,
  });
  const items = virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  const begun = (virtual.scrollOffset ?? 0) > 0;
  const { more, onMore } = p;
  useEffect(() => {
    if (more && last >= rows.length - (begun ? ahead : 1)) onMore();
  }, [last, rows.length, begun, more, onMore]);

  const { handle } = p;
  useEffect(() => {
    handle.current = {
      focus: (index) => {
        virtual.scrollToIndex(index, { align: "auto" });
        requestAnimationFrame(() => rowAt(scroller.current, index)?.focus({ preventScroll: true }));
      },
    };
  }, [handle, virtual]);

  // One slow answer does not flatten the rest, and a further page does not change the scale.
  const newest = list.pages[0]?.items;
  const longest = useMemo(() => scale(newest ?? []), [newest]);
  const entry = selected >= 0 && selected < rows.length ? selected : (items[0]?.index ?? 0);

  const onClick = (e: MouseEvent) => {
    const target = e.target as Element;
    const value = target.closest<HTMLElement>("[data-filter]");
    const index = target.closest<HTMLElement>("[data-index]")?.dataset.index;
    const name = listFilters.find((f) => f === value?.dataset.filter);
    if (name) p.onFilter(name, value?.dataset.value ?? "");
    else if (index !== undefined) p.onOpen(Number(index));
  };
  const onKeyDown = (e: KeyboardEvent) => {
    const row = (e.target as Element).closest<HTMLElement>("[data-index]");
    if (!row || e.ctrlKey || e.metaKey || e.altKey) return;
    const index = Number(row.dataset.index);
    const move = { Home: 0, End: rows.length - 1, PageDown: Math.min(index + pageStep, rows.length - 1), PageUp: Math.max(index - pageStep, 0) }[e.key];
    if (move !== undefined) p.onMove(move);
    else if (e.key === "ArrowRight" || e.key === "ArrowLeft") {
      const stops = [row, ...row.querySelectorAll<HTMLElement>("button")];
      stops[stops.indexOf(e.target as HTMLElement) + (e.key === "ArrowRight" ? 1 : -1)]?.focus();
    } else return;
    e.preventDefault();
  };
  return (
    <div className="table" ref={frame}>
      <div
        role="grid"
        aria-label="Traces"
        aria-rowcount={p.total === undefined ? (more ? -1 : rows.length + 1) : Math.max(p.total, rows.length) + 1}
        aria-colcount={chosen.length}
        aria-busy={p.loading}
        className="grid"
        style={{ "--columns": tracks(chosen), minWidth: least(chosen) } as React.CSSProperties}
      >
        <div role="rowgroup">
          <div role="row" aria-rowindex={1} className="head">
            {columns
              .filter((c) => chosen.includes(c.id))
              .map((c) => (
                <div key={c.id} role="columnheader" className={["tokens", "ttft", "cost"].includes(c.id) ? "number" : undefined}>
                  {c.label}
                  {c.id === "latency" && (
                    <span className="scale" aria-hidden="true">
                      <i className="first" /> first <i className="rest" /> rest
                    </span>
                  )}
                </div>
              ))}
          </div>
        </div>
        <div
          role="rowgroup"
          className={p.stale ? "body stale" : "body"}
          ref={scroller}
          tabIndex={rows.length === 0 ? undefined : -1}
          onClick={onClick}
          onKeyDown={onKeyDown}
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
                      chosen={chosen}
                      index={v.index}
                      top={v.start}
                      selected={v.index === selected}
                      focusable={v.index === entry}
                      longest={longest}
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

const rowAt = (scroller: Element | null, index: number) => scroller?.querySelector<HTMLElement>(`[data-index="${index}"]`);

/** scale is the latency of a full bar: few rows are longer. */
function scale(rows: Trace[]): number {
  if (rows.length === 0) return 1;
  const sorted = rows.map((r) => r.latency_ms).sort((a, b) => a - b);
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
