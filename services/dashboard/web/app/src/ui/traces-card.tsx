import { useInfiniteQuery } from "@tanstack/react-query";
import { lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { traces } from "../api/queries";
import { int, interval } from "../lib/format";
import { filtered } from "../lib/search";
import { useKeys } from "../keys";
import { useSearchState } from "../route";
import { useWindow } from "../window";
import { ClearFilters, Filters } from "./filters";
import { Empty, Failure } from "./states";
import { Table, type TableHandle } from "./table/table";

// Fetched once the list is there, so that a trace opens at once.
const loadPanel = () => import("../trace/panel");
const TracePanel = lazy(() => loadPanel().then((m) => ({ default: m.TracePanel })));

/** TracesCard is the list of the window's traces and the panel of the open one. */
export function TracesCard({ title }: { title: string }) {
  const [search, set] = useSearchState();
  const { window, scope, hold } = useWindow();
  const q = useInfiniteQuery(traces(scope));
  const rows = useMemo(() => {
    const seen = new Set<string>();
    return (q.data?.pages ?? []).flatMap((p) => p.items).filter((t) => !seen.has(t.id) && seen.add(t.id));
  }, [q.data]);

  const [cursor, setCursor] = useState<string>();
  const selectedID = search.trace ?? cursor;
  const selected = useMemo(() => rows.findIndex((r) => r.id === selectedID), [rows, selectedID]);
  const table = useRef<TableHandle>(null);

  const { fetchNextPage, hasNextPage, isFetching } = q;
  const onMore = useCallback(() => {
    if (!isFetching) void fetchNextPage();
  }, [isFetching, fetchNextPage]);

  const isOpen = search.trace !== undefined;
  const latest = useRef({ rows, isOpen });
  useEffect(() => void (latest.current = { rows, isOpen }), [rows, isOpen]);
  const open = useCallback(
    (index: number) => {
      const row = latest.current.rows[index];
      if (!row) return;
      setCursor(row.id);
      set({ trace: row.id }, latest.current.isOpen);
    },
    [set],
  );
  const close = useCallback(() => {
    set({ trace: undefined, tab: undefined });
    const index = latest.current.rows.findIndex((r) => r.id === search.trace);
    if (index >= 0) table.current?.focus(index);
  }, [set, search.trace]);
  const step = useCallback(
    (by: 1 | -1) => {
      const index = Math.max(0, Math.min(rows.length - 1, selected + by));
      const row = rows[index];
      if (!row) return;
      if (isOpen) open(index);
      else setCursor(row.id);
      if (!isOpen) table.current?.focus(index);
    },
    [rows, selected, isOpen, open],
  );
  useKeys({
    j: () => step(1),
    k: () => step(-1),
    ArrowDown: () => !isOpen && step(1),
    ArrowUp: () => !isOpen && step(-1),
    Enter: () => !isOpen && selected >= 0 && open(selected),
    Escape: () => isOpen && close(),
  });

  const listed = q.isSuccess;
  useEffect(() => {
    if (listed) void loadPanel();
  }, [listed]);

  // While someone reads further down, or a trace is open, the list stays as it is.
  const [away, setAway] = useState(false);
  useEffect(() => {
    hold(away || isOpen);
    return () => hold(false);
  }, [away, isOpen, hold]);

  return (
    <section className="card traces-card">
      <div className="toolbar">
        <h2>{title}</h2>
        <Filters />
      </div>
      {q.error && !q.data ? (
        <Failure what="The traces could not be loaded." error={q.error} retry={() => void q.refetch()} />
      ) : (
        <Table
          rows={rows}
          loading={q.isPending}
          stale={q.isPlaceholderData && rows.length > 0 && filtered(search)}
          selected={selected}
          more={hasNextPage}
          onMore={onMore}
          onOpen={open}
          onScrolled={setAway}
          handle={table}
          empty={
            <Empty icon="traces" title={filtered(search) ? "No trace matches these filters" : "No traces in this window"}>
              {filtered(search) ? (
                <ClearFilters />
              ) : (
                <button className="link" onClick={() => set({ range: "30d", from: undefined, to: undefined })}>
                  Show the last 30 days
                </button>
              )}
            </Empty>
          }
        />
      )}
      <footer className="foot">
        <span aria-live="polite">
          {q.isPending ? "Loading" : `${int(rows.length)}${hasNextPage ? "+" : ""} traces`}
          {q.isFetchingNextPage && " · loading more"}
          {q.isFetchNextPageError && (
            <>
              {" · the next page could not be loaded "}
              <button className="link" onClick={() => void fetchNextPage()}>
                Retry
              </button>
            </>
          )}
        </span>
        <span className="dim">{interval(Date.parse(window.from), Date.parse(window.to))}</span>
        <span className="grow" />
        <span className="hints">
          <kbd>j</kbd>
          <kbd>k</kbd> move <kbd>Enter</kbd> open <kbd>Esc</kbd> close
        </span>
      </footer>
      {search.trace && (
        <Suspense>
          <TracePanel id={search.trace} onClose={close} onStep={selected >= 0 ? step : undefined} />
        </Suspense>
      )}
    </section>
  );
}
