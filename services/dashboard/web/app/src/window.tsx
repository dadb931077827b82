import { createContext, use, useCallback, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import type { Scope } from "./api/queries";
import { filtersOf } from "./lib/search";
import { refreshEvery, resolve, type Window } from "./lib/window";
import { useSearchState } from "./route";
import { useSession } from "./session";

interface Shared {
  window: Window;
  /** What every card, chart and list of the page asks for. */
  scope: Scope;
  /** Moves a relative window to now. */
  refresh: () => void;
  /** While true, the window stays: someone reads further down a list. */
  hold: (held: boolean) => void;
}

const Context = createContext<Shared | null>(null);

/** WindowProvider resolves "now" once per refresh, so that parts of a page cannot disagree. */
export function WindowProvider({ children }: { children: ReactNode }) {
  const [search] = useSearchState();
  const { header } = useSession();
  const [now, setNow] = useState(() => Date.now());
  const held = useRef(false);
  const hold = useCallback((h: boolean) => void (held.current = h), []);
  const refresh = useCallback(() => setNow(Date.now()), []);

  const { range, from, to } = search;
  const window = useMemo(() => resolve({ range, from, to }, now), [range, from, to, now]);
  const { preset } = window;
  useEffect(() => {
    if (!preset) return;
    const timer = setInterval(() => {
      if (!held.current && document.visibilityState === "visible") refresh();
    }, refreshEvery(preset));
    return () => clearInterval(timer);
  }, [preset, refresh]);

  const filters = JSON.stringify(filtersOf(search));
  const scope = useMemo<Scope>(
    () => ({ tenant: header, from: window.from, to: window.to, filters: JSON.parse(filters) as Scope["filters"] }),
    [header, window, filters],
  );
  const shared = useMemo(() => ({ window, scope, refresh, hold }), [window, scope, refresh, hold]);
  return <Context value={shared}>{children}</Context>;
}

export function useWindow(): Shared {
  const w = use(Context);
  if (!w) throw new Error("useWindow outside of WindowProvider");
  return w;
}
