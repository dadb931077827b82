import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useMemo } from "react";
import { facets, summary, volume } from "../api/queries";
import { int } from "../lib/format";
import type { Outcome } from "../lib/search";
import { Chart, type Pick } from "../ui/chart/chart";
import { plot } from "../ui/chart/plot";
import { useFirstRun } from "../ui/list";
import { TopBar } from "../ui/topbar";
import { TracesCard } from "../ui/traces-card";
import { useWindow } from "../window";

const Start = lazy(() => import("./start").then((m) => ({ default: m.Start })));

/** Traces is the list of all requests, with how many there were and how they ended above it. */
export function Traces() {
  const { scope } = useWindow();
  const first = useFirstRun();
  const total = useQuery({ ...facets(scope), enabled: false }).data?.total;
  const fresh = useQuery(summary(scope));
  if (first) {
    return (
      <Suspense>
        <Start />
      </Suspense>
    );
  }
  return (
    <div className="page fill">
      <TopBar title="Traces" freshTo={fresh.data?.fresh_to} asOf={fresh.dataUpdatedAt} />
      <Volume />
      <TracesCard title="Traces" total={total ?? fresh.data?.requests.value} rail />
    </div>
  );
}

const none: ReadonlySet<string> = new Set();

function Volume() {
  const { scope, zoom } = useWindow();
  const q = useQuery(volume(scope));
  const drawn = useMemo(() => q.data && plot(q.data, "stack", true, none), [q.data]);
  const pick = ({ from, to, key }: Pick) => zoom({ from, to, ...(key !== null && { outcome: [key as Outcome] }) });
  return (
    <section className={q.isPlaceholderData ? "card strip stale" : "card strip"} aria-label="Requests over time">
      {q.error && !q.data ? (
        <p className="nothing">
          The volume could not be loaded.{" "}
          <button className="link" onClick={() => void q.refetch()}>
            Retry
          </button>
        </p>
      ) : (
        drawn && (
          <>
            {drawn.sums.every((n) => n === 0) && <p className="nothing">No requests in this window</p>}
            <Chart plot={drawn} height={56} label="Requests over time, by outcome" format={int} tick={int} axes={false} onPick={pick} />
          </>
        )
      )}
    </section>
  );
}
