import { useQueryClient } from "@tanstack/react-query";
import { createContext, use, useCallback, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import type { Scope } from "./api/queries";
import { filtersOf, type Search } from "./lib/search";
import { refreshEvery, resolve, type Window } from "./lib/window";
import { useSearchState } from "./route";
import { useSession } from "./session";

interface Shared {
  window: Window;
  /** What every card, chart and list of the page asks for. */
  scope: Scope;
  /** Asks for everything again, with a relative window moved to now. */
  refresh: () => void;
  /** While true, the window stays: someone reads further down a list. */
  hold: (held: boolean) => void;
  /** Narrows the window, and maybe the filters, with a way back. */
  zoom: (patch: Search) => void;
  /** Goes back to the window before the last zoom, else to the usual one. */
  unzoom: () => void;
}

const Context = createContext<Shared | null>(null);

/** WindowProvider resolves "now" once per refresh, so that parts of a page cannot disagree. */
export function WindowProvider({ children }: { children: ReactNode }) {
  const [search, set] = useSearchState();
  const queries = useQueryClient();
  const { header } = useSession();
  const [now, setNow] = useState(() => Date.now());
  const held = useRef(false);
  const hold = useCallback((h: boolean) => void (held.current = h), []);

  const { range, from, to } = search;
  const window = useMemo(() => resolve({ range, from, to }, now), [range, from, to, now]);
  const { preset } = window;
  const refresh = useCallback(() => {
    if (preset) return setNow(Date.now());
    // The window stays, so the questions do; a list begins anew, not with every page that it had.
    void queries.resetQueries({ queryKey: ["traces"] });
    void queries.invalidateQueries({ predicate: (q) => !["me", "traces", "payload"].includes(String(q.queryKey[0])) });
  }, [preset, queries]);
  useEffect(() => {
    if (!preset) return;
    const timer = setInterval(() => {
      if (!held.current && document.visibilityState === "visible") refresh();
    }, refreshEvery(preset));
    return () => clearInterval(timer);
  }, [preset, refresh]);

  const before = useRef<Pick<Search, "range" | "from" | "to">[]>([]);
  const zoom = useCallback(
    (patch: Search) => {
      before.current.push({ range, from, to });
      set({ range: undefined, ...patch });
    },
    [range, from, to, set],
  );
  const unzoom = useCallback(() => set(before.current.pop() ?? { range: undefined, from: undefined, to: undefined }), [set]);

  const filters = JSON.stringify(filtersOf(search));
  const scope = useMemo<Scope>(
    () => ({ tenant: header, from: window.from, to: window.to, filters: JSON.parse(filters) as Scope["filters"] }),
    [header, window, filters],
  );
  const shared = useMemo(() => ({ window, scope, refresh, hold, zoom, unzoom }), [window, scope, refresh, hold, zoom, unzoom]);
  return <Context value={shared}>{children}</Context>;
}

export function useWindow(): Shared {
  const w = use(Context);
  if (!w) throw new Error("useWindow outside of WindowProvider");
  return w;
}
