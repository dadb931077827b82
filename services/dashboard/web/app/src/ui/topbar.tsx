import { SegmentedControl, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { useIsFetching } from "@tanstack/react-query";
import { createContext, use, useEffect, useState, type ReactNode } from "react";
import { ago, exactTime, interval } from "../lib/format";
import { presets, type Preset } from "../lib/search";
import { chosen, lag, localTime, staleAfter } from "../lib/window";
import { useSearchState } from "../route";
import { useWindow } from "../window";
import { Icon } from "./icons";
import { Pop } from "./pop";

/** OpenPalette opens the palette; the shell has it. */
export const OpenPalette = createContext<() => void>(() => undefined);

interface Props {
  title: string;
  /** The page has a window. */
  windowed?: boolean;
  /** An answer's fresh_to; undefined: none came yet, or the page has none. */
  freshTo?: string | null;
  /** When that answer came; a page that stays as it is does not grow incomplete by it. */
  asOf?: number;
  /** Stands before the title. */
  children?: ReactNode;
}

/** TopBar is the page's title and what holds for all of it: the window, how fresh it is, and the colours. */
export function TopBar({ title, windowed = true, freshTo, asOf, children }: Props) {
  const openPalette = use(OpenPalette);
  useEffect(() => {
    document.title = `${title} · Loom`;
  }, [title]);
  return (
    <>
      <header className="top">
        {children}
        <h1>{title}</h1>
        {windowed && freshTo && <Freshness freshTo={freshTo} asOf={asOf} />}
        <span className="grow" />
        <button className="search" onClick={openPalette} aria-label="Search or jump to" aria-keyshortcuts="Meta+K Control+K">
          <Icon name="search" size={15} />
          <span>Search or jump to</span>
          <kbd>⌘K</kbd>
        </button>
        {windowed && <RangePicker />}
        <SchemeToggle />
      </header>
      {windowed && freshTo !== undefined && <Stale freshTo={freshTo} asOf={asOf} />}
    </>
  );
}

/** useNow is the time, moving on every few seconds: readers are told no more often. */
function useNow(): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 5_000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

function Freshness({ freshTo, asOf }: { freshTo: string; asOf?: number }) {
  const now = useNow();
  const behind = lag(freshTo, now);
  if (behind === null) return null;
  const stale = (lag(freshTo, asOf ?? now) ?? 0) > staleAfter;
  return (
    <span className={stale ? "fresh stale-data" : "fresh"} title={`Everything that ended before ${exactTime(freshTo)} is recorded and accounted`}>
      <i />
      fresh to {ago(behind)} ago
    </span>
  );
}

/** Stale warns when the newest numbers may be incomplete. */
function Stale({ freshTo, asOf }: { freshTo: string | null; asOf?: number }) {
  const now = useNow();
  const behind = lag(freshTo, asOf ?? now);
  if (behind !== null && behind <= staleAfter) return null;
  return (
    <div className="banner" role="status">
      <Icon name="alert" />
      <p>
        {behind === null ? (
          <>
            <b>How fresh this is, is not known.</b> The message bus does not answer: new traces may be missing until it does.
          </>
        ) : (
          <>
            <b>The newest {ago(behind)} may be incomplete.</b> Traces are still on their way; none is lost, and numbers rise as they arrive.
          </>
        )}
      </p>
    </div>
  );
}

function RangePicker() {
  const [, set] = useSearchState();
  const { window, refresh, unzoom } = useWindow();
  const busy = useIsFetching() > 0;
  return (
    <>
      {window.preset === null && (
        <button className="chip on" onClick={unzoom}>
          {interval(Date.parse(window.from), Date.parse(window.to))}
          <span className="vh">, chosen window. Undo</span>
          <Icon name="close" size={12} />
        </button>
      )}
      <SegmentedControl
        size="xs"
        aria-label="Time range"
        value={window.preset ?? ""}
        onChange={(v) => set({ range: v as Preset, from: undefined, to: undefined })}
        data={[...presets]}
      />
      <Pop className="square" label="Choose a window" width={286} face={<Icon name="calendar" size={15} />}>
        {(close) => <Absolute close={close} />}
      </Pop>
      <button className={busy ? "square busy" : "square"} onClick={refresh} aria-label="Refresh" title="Refresh">
        <Icon name="retry" size={15} />
      </button>
    </>
  );
}

function Absolute({ close }: { close: () => void }) {
  const { window, zoom } = useWindow();
  const [from, setFrom] = useState(localTime(window.from));
  const [to, setTo] = useState(localTime(window.to));
  const made = chosen(from, to);
  return (
    <form
      className="absolute"
      onSubmit={(e) => {
        e.preventDefault();
        if (!made) return;
        zoom(made);
        close();
      }}
    >
      <label>
        From
        <input type="datetime-local" className="field" value={from} onChange={(e) => setFrom(e.currentTarget.value)} autoFocus />
      </label>
      <label>
        To
        <input type="datetime-local" className="field" value={to} onChange={(e) => setTo(e.currentTarget.value)} />
      </label>
      <p className="dim" role="status">
        {made ? `Local time, ${Intl.DateTimeFormat().resolvedOptions().timeZone}` : "The end has to be after the start, by 366 days at most."}
      </p>
      <button className="button primary" disabled={!made}>
        Show this window
      </button>
    </form>
  );
}

/** SchemeToggle goes to the other colour scheme; where that is the system's, it follows the system again. */
export function SchemeToggle() {
  const { setColorScheme } = useMantineColorScheme({ keepTransitions: true });
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });
  const other = scheme === "dark" ? "light" : "dark";
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const label = `Switch to ${other} colours`;
  return (
    <button className="square" onClick={() => setColorScheme(other === system ? "auto" : other)} aria-label={label} title={label}>
      <Icon name={scheme === "dark" ? "sun" : "moon"} />
    </button>
  );
}
