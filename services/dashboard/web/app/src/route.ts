import { createRootRoute, useLocation, useNavigate } from "@tanstack/react-router";
import { useCallback } from "react";
import { carried, clean, type Search } from "./lib/search";

/** root holds the state of the whole dashboard, the query; pages are below it. */
export const root = createRootRoute({ validateSearch: clean });

/** useSearchState reads the query and changes parts of it; replace leaves no step for Back. */
export function useSearchState(): [Search, (patch: Search, replace?: boolean) => void] {
  const search = root.useSearch();
  const navigate = useNavigate();
  const set = useCallback(
    (patch: Search, replace = false) =>
      void navigate({ to: ".", search: (old: Search) => clean({ ...old, ...patch }), replace }),
    [navigate],
  );
  return [search, set];
}

/** useNarrow changes the filters of the list on screen; from a trace's own page it goes to the list. */
export function useNarrow(): (patch: Search) => void {
  const [search, set] = useSearchState();
  const navigate = useNavigate();
  const alone = useLocation().pathname.startsWith("/traces/");
  return (patch) => (alone ? void navigate({ to: "/traces", search: clean({ ...carried(search), ...patch }) }) : set(patch));
}
