import { useMediaQuery } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useCallback, useEffect, useRef, useState } from "react";
import { summary } from "../api/queries";
import { useKeys } from "../keys";
import { chosenColumns, columns, toggleColumn, usualColumns, type ColumnID } from "../lib/columns";
import { int, interval } from "../lib/format";
import { added, filtered, type ListFilter } from "../lib/search";
import { useSearchState } from "../route";
import { useWindow } from "../window";
import { Facets } from "./facets";
import { Filters, RemoveFilters, Views } from "./filters";
import { Icon } from "./icons";
import { useTraceList } from "./list";
import { Pop } from "./pop";
import { Empty, Failure } from "./states";
import { Table, type TableHandle } from "./table/table";

// Fetched once the list is there, so that a trace opens at once.
const loadPanel = () => import("../trace/panel");
const TracePanel = lazy(() => loadPanel().then((m) => ({ default: m.TracePanel })));

interface Props {
  title: string;
  /** How many traces the window has, of those that fit the filters. */
  total: number | undefined;
  /** The values to filter by stand beside the list, where there is room. */
  rail?: boolean;
}

/** TracesCard is the list of the window's traces and the panel of the open one. */
export function TracesCard({ title, total, rail = false }: Props) {
  const [search, set] = useSearchState();
  const { window, hold } = useWindow();
  const { q, flat, more, beside } = useTraceList();
  const [chosen, setChosen] = useState(chosenColumns);
  const wide = useMediaQuery("(min-width: 1160px)", true, { getInitialValueInEffect: false });

  const [cursor, setCursor] = useState<string>();
  const selectedID = search.trace ?? cursor;
  const selected = (selectedID !== undefined ? flat.index.get(selectedID) : undefined) ?? -1;
  const table = useRef<TableHandle>(null);

  const isOpen = search.trace !== undefined;
  const latest = useRef({ flat, isOpen, search });
  useEffect(() => void (latest.current = { flat, isOpen, search }), [flat, isOpen, search]);
  const open = useCallback(
    (index: number) => {
      const row = latest.current.flat.rows[index];
      if (!row) return;
      setCursor(row.id);
      set({ trace: row.id }, latest.current.isOpen);
    },
    [set],
  );
  const move = useCallback((index: number) => {
    const row = latest.current.flat.rows[index];
    if (!row) return;
    setCursor(row.id);
    table.current?.focus(index);
  }, []);
  const filter = useCallback((name: ListFilter, value: string) => set(added(latest.current.search, name, value)), [set]);
  const close = useCallback(() => {
    set({ trace: undefined, tab: undefined });
    const index = latest.current.flat.index.get(search.trace ?? "");
    if (index !== undefined) table.current?.focus(index);
  }, [set, search.trace]);
  const step = useCallback(
    async (by: 1 | -1) => {
      if (!isOpen) return move(Math.max(0, Math.min(flat.rows.length - 1, selected + by)));
      const next = await beside(search.trace ?? "", by);
      if (!next) return;
      setCursor(next.id);
      set({ trace: next.id }, true);
    },
    [isOpen, move, flat, selected, beside, search.trace, set],
  );
  useKeys({
    j: () => void step(1),
    k: () => void step(-1),
    ArrowDown: () => !isOpen && void step(1),
    ArrowUp: () => !isOpen && void step(-1),
    Enter: () => !isOpen && selected >= 0 && open(selected),
    Escape: () => isOpen && close(),
    c: () => document.querySelector<HTMLElement>('.panel [data-key="c"]')?.click(),
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

  const { hasNextPage, fetchNextPage } = q;
  return (
    <section className="card traces-card">
      <div className="toolbar">
        <h2>{title}</h2>
        <Filters add={!rail || !wide} />
        <span className="grow" />
        <Views />
        <Pop className="dashed" width={200} face={<><Icon name="columns" size={14} /> Columns</>}>
          {() => <Columns chosen={chosen ?? usualColumns(Infinity)} onChosen={setChosen} />}
        </Pop>
      </div>
      <div className="list">
        {rail && wide && (
          <aside className="rail" aria-label="Values to filter by">
            <Facets />
          </aside>
        )}
        {q.error && !q.data ? (
          <Failure what="The traces could not be loaded." error={q.error} retry={() => void q.refetch()} />
        ) : (
          <Table
            list={flat}
            chosen={chosen}
            total={total}
            loading={q.isPending}
            stale={q.isPlaceholderData && flat.rows.length > 0 && filtered(search)}
            selected={selected}
            more={hasNextPage}
            onMore={more}
            onOpen={open}
            onMove={move}
            onFilter={filter}
            onScrolled={setAway}
            handle={table}
            empty={<Nothing />}
          />
        )}
      </div>
      <footer className="foot">
        <span aria-live="polite">{q.isPending ? "Loading" : !q.data ? "Not loaded" : count(flat.rows.length, hasNextPage, total)}</span>
        {q.isFetchNextPageError && (
          <span>
            The next page could not be loaded.{" "}
            <button className="link" onClick={() => void fetchNextPage()}>
              Retry
            </button>
          </span>
        )}
        <span className="dim">{interval(Date.parse(window.from), Date.parse(window.to))}</span>
        <span className="grow" />
        <span className="hints">
          <kbd>j</kbd>
          <kbd>k</kbd> move <kbd>Enter</kbd> open <kbd>Esc</kbd> close <kbd>?</kbd> all keys
        </span>
      </footer>
      {search.trace && (
        <Suspense>
          <TracePanel id={search.trace} onClose={close} onStep={selected >= 0 ? (by) => void step(by) : undefined} />
        </Suspense>
      )}
    </section>
  );
}

function Columns({ chosen, onChosen }: { chosen: ColumnID[]; onChosen: (chosen: ColumnID[]) => void }) {
  return (
    <div className="options">
      {columns.map((c) => (
        <button key={c.id} className="option" aria-pressed={chosen.includes(c.id)} onClick={() => onChosen(toggleColumn(chosen, c.id))}>
          <span className="box">{chosen.includes(c.id) && <Icon name="check" size={12} />}</span>
          {c.label}
        </button>
      ))}
    </div>
  );
}

/** count says how many there are: the list itself knows only once all of it was asked for. */
function count(rows: number, more: boolean, total: number | undefined): string {
  if (!more) return rows === 1 ? "1 trace in window" : `${int(rows)} traces in window`;
  return total === undefined ? `more than ${int(rows)} traces in window` : `${int(total)} traces in window`;
}

/** Nothing stands where a list would, and says what would fill it. */
function Nothing() {
  const [search, set] = useSearchState();
  const { scope } = useWindow();
  const some = filtered(search);
  const all = useQuery({ ...summary({ ...scope, filters: {} }), enabled: some });
  if (!some) {
    return (
      <Empty icon="traces" title="No traces in this window">
        <button className="link" onClick={() => set({ range: "30d", from: undefined, to: undefined })}>
          Show the last 30 days
        </button>
      </Empty>
    );
  }
  return (
    <Empty icon="traces" title={all.data ? `0 of ${int(all.data.requests.value)} match` : "No trace matches these filters"}>
      <p>Take a filter away:</p>
      <RemoveFilters />
    </Empty>
  );
}
