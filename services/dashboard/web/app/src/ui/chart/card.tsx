import { Skeleton } from "@mantine/core";
import type { UseQueryResult } from "@tanstack/react-query";
import { useMemo, useState, type ReactNode } from "react";
import type { Timeseries } from "../../api/client";
import { Failure } from "../states";
import { Chart, type Pick } from "./chart";
import { Legend } from "./legend";
import { plot } from "./plot";
import { DataTable } from "./table";

interface Props {
  title: string;
  sub: string;
  query: UseQueryResult<Timeseries>;
  mode: "stack" | "lines";
  whole?: boolean;
  format: (n: number | string | null) => string;
  tick: (n: number) => string;
  /** Shown beside the title. */
  controls?: ReactNode;
  /** The legend shows each series' total. */
  totals?: boolean;
  /** Makes a click choose the bar under it. */
  onPick?: (pick: Pick) => void;
}

const height = 196;
const none: ReadonlySet<string> = new Set();

/** ChartCard is a chart with everything around it, in each of its states. */
export function ChartCard(p: Props) {
  const [hidden, setHidden] = useState(none);
  const [asTable, setAsTable] = useState(false);
  const { data } = p.query;
  const drawn = useMemo(() => data && plot(data, p.mode, p.whole ?? false, hidden), [data, p.mode, p.whole, hidden]);
  const other = asTable ? "chart" : "table";
  const empty = data?.series.every((s) => s.values.every((v) => !v));
  return (
    <section className="card chart-card" aria-busy={p.query.isFetching}>
      <div className="card-head">
        <div>
          <h2>{p.title}</h2>
          <p>
            {p.sub} ·{" "}
            <button className="quiet" onClick={() => setAsTable(!asTable)} aria-label={`view as ${other}: ${p.title}`}>
              view as {other}
            </button>
          </p>
        </div>
        {p.controls}
      </div>
      {p.query.error && !data ? (
        <Failure what="This chart could not be loaded." error={p.query.error} retry={() => void p.query.refetch()} />
      ) : !drawn ? (
        <Skeleton height={height + 28} />
      ) : asTable ? (
        <DataTable plot={drawn} format={p.format} caption={p.title} />
      ) : (
        <div className={p.query.isPlaceholderData ? "stale" : undefined}>
          {empty && <p className="nothing">Nothing in this window</p>}
          <Chart plot={drawn} height={height} label={`${p.title}, ${p.sub}`} format={p.format} tick={p.tick} onPick={p.onPick} />
          <Legend plot={drawn} hidden={hidden} onHidden={setHidden} format={p.totals ? p.format : undefined} />
        </div>
      )}
    </section>
  );
}
