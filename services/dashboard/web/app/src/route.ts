import { createRootRoute, useNavigate } from "@tanstack/react-router";
import { useCallback } from "react";
import { clean, type Search } from "./lib/search";

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
