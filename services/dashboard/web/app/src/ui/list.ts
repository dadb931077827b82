import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef } from "react";
import type { Trace } from "../api/client";
import { anyTrace, traces } from "../api/queries";
import { flatten, nothing, type Flat } from "../lib/flat";
import { filtered } from "../lib/search";
import { useSearchState } from "../route";
import { useSession } from "../session";
import { useWindow } from "../window";

/** useTraceList is the window's traces, as far as they were asked for; all that ask share one list. */
export function useTraceList() {
  const { scope } = useWindow();
  const q = useInfiniteQuery(traces(scope));
  const last = useRef<Flat<Trace>>(nothing);
  const pages = q.data?.pages;
  const flat = useMemo(() => (last.current = flatten(pages ?? [], last.current)), [pages]);

  const { fetchNextPage, hasNextPage, isFetching } = q;
  const more = useCallback(() => {
    if (hasNextPage && !isFetching) void fetchNextPage();
  }, [hasNextPage, isFetching, fetchNextPage]);

  /** The row after or before that one, also where it is on a page that has yet to come. */
  const beside = useCallback(
    async (id: string, by: number): Promise<Trace | undefined> => {
      const at = flat.index.get(id);
      if (at === undefined) return undefined;
      if (at + by >= flat.rows.length && hasNextPage) {
        const got = await fetchNextPage();
        return flatten(got.data?.pages ?? [], flat).rows[at + by];
      }
      return flat.rows[at + by];
    },
    [flat, hasNextPage, fetchNextPage],
  );
  return { q, flat, more, beside };
}

/**
 * useFirstRun says that the tenant has no trace at all, which is asked only where a list is empty without filters. When
 * the first one comes, the window moves on to it.
 */
export function useFirstRun(): boolean {
  const [search] = useSearchState();
  const { header } = useSession();
  const { refresh } = useWindow();
  const { q, flat } = useTraceList();
  const empty = q.isSuccess && flat.rows.length === 0 && !filtered(search);
  const any = useQuery({ ...anyTrace(header), enabled: empty });
  const first = empty && any.data === false;
  const was = useRef(false);
  useEffect(() => {
    if (was.current && any.data) refresh();
    was.current = first;
  }, [first, any.data, refresh]);
  return first;
}
