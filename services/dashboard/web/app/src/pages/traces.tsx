import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { anyTrace, volume } from "../api/queries";
import { int } from "../lib/format";
import { useSession } from "../session";
import { Chart } from "../ui/chart/chart";
import { plot } from "../ui/chart/plot";
import { TopBar } from "../ui/topbar";
import { TracesCard } from "../ui/traces-card";
import { useWindow } from "../window";
import { Start } from "./start";

/** Traces is the list of all requests, with how many there were and how they ended above it. */
export function Traces() {
  const { header } = useSession();
  const any = useQuery(anyTrace(header));
  if (any.data === false) return <Start />;
  return (
    <div className="page fill">
      <TopBar title="Traces" />
      <Volume />
      <TracesCard title="Traces" />
    </div>
  );
}

const none: ReadonlySet<string> = new Set();

function Volume() {
  const { scope } = useWindow();
  const q = useQuery(volume(scope));
  const drawn = useMemo(() => q.data && plot(q.data, "stack", true, none), [q.data]);
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
        drawn && <Chart plot={drawn} height={56} label="Requests over time, by outcome" format={int} tick={int} axes={false} />
      )}
    </section>
  );
}
