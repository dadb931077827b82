import { lazy, Suspense, useCallback, useEffect, useRef, useState } from "react";
import { Link } from "@tanstack/react-router";
import { maxRows, useTail, type Live as Tail } from "../api/tail";
import { useKeys } from "../keys";
import { chosenColumns } from "../lib/columns";
import { int } from "../lib/format";
import { added, carried, filtered, type ListFilter } from "../lib/search";
import { useSearchState } from "../route";
import { Filters, RemoveFilters } from "../ui/filters";
import { Icon } from "../ui/icons";
import { Empty, Failure } from "../ui/states";
import { Table, type TableHandle } from "../ui/table/table";
import { TopBar } from "../ui/topbar";
import { useWindow } from "../window";
import "../styles/reports.css";

const TracePanel = lazy(() => import("../trace/panel").then((m) => ({ default: m.TracePanel })));

/** Live shows traces as they are recorded, the newest on top. */
export function Live() {
  const [search, set] = useSearchState();
  const { scope } = useWindow();
  const [paused, setPaused] = useState(false);
  const [away, setAway] = useState(false);
  const isOpen = search.trace !== undefined;
  const tail = useTail(scope.tenant, scope.filters, paused || away || isOpen);
  const { rows, index: places } = tail.list;
  const [chosen] = useState(chosenColumns);

  const [cursor, setCursor] = useState<string>();
  const selected = places.get(search.trace ?? cursor ?? "") ?? -1;
  const table = useRef<TableHandle>(null);
  const latest = useRef({ rows, isOpen, search });
  useEffect(() => void (latest.current = { rows, isOpen, search }), [rows, isOpen, search]);
  const open = useCallback(
    (index: number) => {
      const row = latest.current.rows[index];
      if (!row) return;
      setCursor(row.id);
      set({ trace: row.id }, latest.current.isOpen);
    },
    [set],
  );
  const close = () => {
    set({ trace: undefined, tab: undefined });
    if (selected >= 0) table.current?.focus(selected);
  };
  const move = useCallback((index: number) => {
    const row = latest.current.rows[index];
    if (!row) return;
    setCursor(row.id);
    table.current?.focus(index);
  }, []);
  const filter = useCallback((name: ListFilter, value: string) => set(added(latest.current.search, name, value)), [set]);
  const step = (by: 1 | -1) => (isOpen ? open : move)(Math.max(0, Math.min(rows.length - 1, selected + by)));
  useKeys({
    j: () => step(1),
    k: () => step(-1),
    p: () => setPaused(!paused),
    ArrowDown: () => !isOpen && step(1),
    ArrowUp: () => !isOpen && step(-1),
    Enter: () => !isOpen && selected >= 0 && open(selected),
    Escape: () => isOpen && close(),
    c: () => document.querySelector<HTMLElement>('.panel [data-key="c"]')?.click(),
  });

  const toTop = () => {
    tail.show();
    table.current?.focus(0);
  };
  const refused = tail.state.name === "refused" && tail.state.status !== 401 ? tail.state : undefined;
  return (
    <div className="page fill">
      <TopBar title="Live tail" windowed={false} />
      <section className="card traces-card live">
        <div className="toolbar">
          <button className="button" aria-pressed={paused} onClick={() => setPaused(!paused)}>
            <Icon name={paused ? "play" : "pause"} size={14} /> {paused ? "Resume" : "Pause"}
          </button>
          <Condition tail={tail} paused={paused} />
          <Filters add />
        </div>
        {refused ? (
          <Failure what="The live tail could not be opened." error={new Error(refused.why)} retry={tail.restart} />
        ) : (
          <div className="live-list">
            {tail.waiting > 0 && (
              <button className="pill" onClick={toTop}>
                <Icon name="up" size={14} /> {tail.waiting >= maxRows ? `${int(maxRows)}+` : int(tail.waiting)} new
              </button>
            )}
            <Table
              list={tail.list}
              chosen={chosen}
              total={rows.length}
              loading={tail.state.name === "connecting"}
              stale={false}
              selected={selected}
              more={false}
              onMore={() => undefined}
              onOpen={open}
              onMove={move}
              onFilter={filter}
              onScrolled={setAway}
              handle={table}
              empty={
                <Empty icon="live" title={filtered(search) ? "Nothing that matches these filters yet" : "Nothing in the last hour"}>
                  <p>Traces come up here as soon as they are recorded.</p>
                  {filtered(search) ? (
                    <RemoveFilters />
                  ) : (
                    <Link to="/start" search={carried(search)} className="link">
                      Send a request
                    </Link>
                  )}
                </Empty>
              }
            />
          </div>
        )}
        <footer className="foot">
          <span>
            {int(rows.length)} {rows.length === 1 ? "trace" : "traces"}
            {rows.length >= maxRows && ", older ones are under Traces"}
          </span>
          <Dropped tail={tail} />
          <span className="grow" />
          <span className="hints">
            <kbd>p</kbd> pause <kbd>j</kbd>
            <kbd>k</kbd> move <kbd>Enter</kbd> open <kbd>Esc</kbd> close
          </span>
        </footer>
        <Announcer tail={tail} />
        {search.trace && (
          <Suspense>
            <TracePanel id={search.trace} onClose={close} onStep={selected >= 0 ? step : undefined} />
          </Suspense>
        )}
      </section>
    </div>
  );
}

/** Condition says whether the stream flows, and how fast. */
function Condition({ tail, paused }: { tail: Tail; paused: boolean }) {
  const { state } = tail;
  if (state.name === "connecting") return <span className="condition dim">Connecting…</span>;
  if (state.name === "waiting") return <Reconnecting until={state.until} why={state.why} />;
  if (state.name === "refused") return null;
  return (
    <span className="condition">
      <i className={paused ? "light" : "light on"} />
      {paused ? "Paused" : "Live"}
      <span className="dim number">{tail.perSecond.toFixed(1)}/s</span>
    </span>
  );
}

function Reconnecting({ until, why }: { until: number; why: string }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  const left = Math.ceil((until - now) / 1000);
  return (
    <span className="condition warn">
      <Icon name="retry" size={14} /> {why} {left > 0 ? `Reconnecting in ${left} s` : "Reconnecting…"}
    </span>
  );
}

/** Dropped owns up to what the stream has left out. */
function Dropped({ tail: { dropped } }: { tail: Tail }) {
  const [search] = useSearchState();
  if (dropped.n === 0 && !dropped.unknown) return null;
  const many = dropped.n === 0 ? "Some traces were" : `${dropped.unknown ? "At least " : ""}${int(dropped.n)} ${dropped.n === 1 ? "trace was" : "traces were"}`;
  return (
    <span className="left-out">
      {many} left out here: more came than are shown.{" "}
      <Link to="/traces" search={carried(search)} className="link">
        All are under Traces
      </Link>
    </span>
  );
}

const pace = 5_000; // ms: screen readers hear of news at most so often

/** Announcer tells a screen reader what has changed, in few words. */
function Announcer({ tail }: { tail: Tail }) {
  const [text, setText] = useState("");
  const now = useRef(tail);
  const top = useRef<string>(undefined);
  useEffect(() => void (now.current = tail), [tail]);
  useEffect(() => {
    const timer = setInterval(() => {
      const { waiting, state } = now.current;
      const { rows, index } = now.current.list;
      const shown = top.current === undefined ? 0 : (index.get(top.current) ?? -1);
      top.current = rows[0]?.id;
      const news = (shown < 0 ? rows.length : shown) + waiting;
      if (state.name === "waiting") setText(`${state.why} Reconnecting.`);
      else setText(news === 0 ? "" : `${news} new ${news === 1 ? "trace" : "traces"}`);
    }, pace);
    return () => clearInterval(timer);
  }, []);
  return (
    <p className="vh" role="status">
      {text}
    </p>
  );
}
