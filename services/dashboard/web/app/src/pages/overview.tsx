import { SegmentedControl } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense } from "react";
import { summary, timeseries } from "../api/queries";
import { change, compact, int, ms, msTick, percent, usd, usdTick } from "../lib/format";
import { metrics, type Metric } from "../lib/search";
import { useSearchState } from "../route";
import { ChartCard } from "../ui/chart/card";
import type { Pick } from "../ui/chart/chart";
import { GroupBy, narrowed } from "../ui/group-by";
import { useFirstRun } from "../ui/list";
import { Stat } from "../ui/stat";
import { Failure } from "../ui/states";
import { TopBar } from "../ui/topbar";
import { TracesCard } from "../ui/traces-card";
import { useWindow } from "../window";

const Start = lazy(() => import("./start").then((m) => ({ default: m.Start })));

/** Overview is the window at a glance: five numbers, where the money and the time went, the latest traces. */
export function Overview() {
  const { scope } = useWindow();
  const first = useFirstRun();
  const q = useQuery(summary(scope));
  if (first) {
    return (
      <Suspense>
        <Start />
      </Suspense>
    );
  }
  return (
    <div className="page fill">
      <TopBar title="Overview" freshTo={q.data?.fresh_to} asOf={q.dataUpdatedAt} />
      <Stats />
      <div className="two">
        <Usage />
        <Latency />
      </div>
      <TracesCard title="Latest traces" total={q.data?.requests.value} />
    </div>
  );
}

const number = (v: number | string | null) => (v === null ? int(null) : compact(Number(v)));
const shown: Record<Metric, { title: string; unit: string; format: (v: number | string | null) => string; tick: (n: number) => string }> = {
  cost: { title: "Spend over time", unit: "USD per interval", format: usd, tick: usdTick },
  requests: { title: "Requests over time", unit: "per interval", format: number, tick: compact },
  tokens: { title: "Tokens over time", unit: "in and out, per interval", format: number, tick: compact },
};

function Usage() {
  const [search, set] = useSearchState();
  const { scope, zoom } = useWindow();
  const metric = search.metric ?? "cost";
  const by = search.by ?? "model";
  const q = useQuery(timeseries(scope, metric, by));
  const { title, unit, format, tick } = shown[metric];
  const pick = ({ from, to, key }: Pick) => zoom({ from, to, ...(key !== null && narrowed(search, by, key)) });
  return (
    <ChartCard
      title={title}
      sub={`by ${by.replace(/^tag:/, "tag ")}, ${unit}`}
      query={q}
      mode="stack"
      whole={metric !== "cost"}
      format={format}
      tick={tick}
      totals
      onPick={pick}
      controls={
        <div className="controls">
          <SegmentedControl
            size="xs"
            aria-label="Show"
            value={metric}
            onChange={(v) => set({ metric: v === "cost" ? undefined : (v as Metric) }, true)}
            data={metrics.map((m) => ({ value: m, label: m === "cost" ? "spend" : m }))}
          />
          <GroupBy by={by} onBy={(g) => set({ by: g === "model" ? undefined : g }, true)} />
        </div>
      }
    />
  );
}

function Latency() {
  const { scope, zoom } = useWindow();
  const q = useQuery(timeseries(scope, "latency"));
  const pick = ({ from, to }: Pick) => zoom({ from, to });
  return (
    <ChartCard
      title="Latency"
      sub="end to end, percentiles"
      query={q}
      mode="lines"
      format={(v) => ms(v === null ? null : Number(v))}
      tick={msTick}
      totals
      onPick={pick}
    />
  );
}

function Stats() {
  const { scope } = useWindow();
  const q = useQuery(summary(scope));
  const s = q.data;
  if (q.error && !s) {
    return (
      <section className="card">
        <Failure what="The totals could not be loaded." error={q.error} retry={() => void q.refetch()} />
      </section>
    );
  }
  const rate = (e: number, n: number) => (n > 0 ? e / n : null);
  const errorRate = s && rate(s.errors.value, s.requests.value);
  const errorRateBefore = s && rate(s.errors.previous, s.requests.previous);
  const money = (v: string | null | undefined) => (v == null ? null : Number(v));
  const spark = s?.spark;
  // Without the interval that has not ended, which would look like a fall.
  const course = (values: (number | null)[] | undefined) => values?.slice(0, spark?.partial_last && values.length > 2 ? -1 : undefined);
  return (
    <div className={q.isPlaceholderData ? "five stale" : "five"}>
      <Stat label="Requests" value={s && int(s.requests.value)} change={change(s?.requests.value, s?.requests.previous)} spark={course(spark?.requests)} tone="--text-2" />
      <Stat
        label="Spend"
        value={s && usd(s.cost_usd.value)}
        change={change(money(s?.cost_usd.value), money(s?.cost_usd.previous))}
        bad="up"
        spark={course(spark?.cost_usd)}
        tone="--cost"
        note={s && s.unpriced.value > 0 ? `${int(s.unpriced.value)} unpriced` : undefined}
      />
      <Stat
        label="Latency p95"
        value={s && ms(s.latency_ms.p95)}
        change={change(s?.latency_ms.p95, s?.latency_ms.previous.p95)}
        bad="up"
        spark={course(spark?.latency_p95_ms)}
        tone="--latency-2"
      />
      <Stat
        label="Error rate"
        value={s && percent(errorRate)}
        change={change(errorRate, errorRateBefore)}
        bad="up"
        spark={course(spark?.errors.map((e, i) => rate(e, spark.requests[i] ?? 0)))}
        tone="--error"
      />
      <Stat label="Tokens" value={s && compact(s.tokens.total.value)} change={change(s?.tokens.total.value, s?.tokens.total.previous)} spark={course(spark?.tokens)} tone="--text-2" />
    </div>
  );
}
