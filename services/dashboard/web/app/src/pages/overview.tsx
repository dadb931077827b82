import { SegmentedControl } from "@mantine/core";
import { useQueries, useQuery } from "@tanstack/react-query";
import type { Timeseries } from "../api/client";
import { anyTrace, summary, timeseries } from "../api/queries";
import { change, compact, int, ms, msTick, percent, usd, usdTick } from "../lib/format";
import { groups, metrics, type Group, type Metric } from "../lib/search";
import { useSearchState } from "../route";
import { useSession } from "../session";
import { ChartCard } from "../ui/chart/card";
import { Stat } from "../ui/stat";
import { Failure } from "../ui/states";
import { TopBar } from "../ui/topbar";
import { TracesCard } from "../ui/traces-card";
import { useWindow } from "../window";
import { Start } from "./start";

/** Overview is the window at a glance: five numbers, where the money and the time went, the latest traces. */
export function Overview() {
  const { header } = useSession();
  const any = useQuery(anyTrace(header));
  if (any.data === false) return <Start />;
  return (
    <div className="page fill">
      <TopBar title="Overview" />
      <Stats />
      <div className="two">
        <Usage />
        <Latency />
      </div>
      <TracesCard title="Latest traces" />
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
  const { scope } = useWindow();
  const metric = search.metric ?? "cost";
  const by = search.by ?? "model";
  const q = useQuery(timeseries(scope, metric, by));
  const { title, unit, format, tick } = shown[metric];
  return (
    <ChartCard
      title={title}
      sub={`by ${by}, ${unit}`}
      query={q}
      mode="stack"
      whole={metric !== "cost"}
      format={format}
      tick={tick}
      totals
      controls={
        <div className="controls">
          <SegmentedControl
            size="xs"
            aria-label="Show"
            value={metric}
            onChange={(v) => set({ metric: v === "cost" ? undefined : (v as Metric) }, true)}
            data={metrics.map((m) => ({ value: m, label: m === "cost" ? "spend" : m }))}
          />
          <SegmentedControl
            size="xs"
            aria-label="Group by"
            value={by}
            onChange={(v) => set({ by: v === "model" ? undefined : (v as Group) }, true)}
            data={[...groups]}
          />
        </div>
      }
    />
  );
}

function Latency() {
  const { scope } = useWindow();
  const q = useQuery(timeseries(scope, "latency"));
  return <ChartCard title="Latency" sub="end to end, percentiles" query={q} mode="lines" format={(v) => ms(v === null ? null : Number(v))} tick={msTick} totals />;
}

function Stats() {
  const { scope } = useWindow();
  const q = useQuery(summary(scope));
  const [requests, cost, errors, tokens, latency] = useQueries({
    queries: [
      timeseries(scope, "requests"),
      timeseries(scope, "cost"),
      timeseries(scope, "errors"),
      timeseries(scope, "tokens"),
      timeseries(scope, "latency"),
    ],
  });
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
  // Without the interval that has not ended, which would look like a fall.
  const course = (d: Timeseries | undefined, key = "total") =>
    d?.series.find((x) => x.key === key)?.values.slice(0, d.partial_last && d.t.length > 2 ? -1 : undefined);
  const requestCourse = course(requests.data);
  const errorCourse = requestCourse && course(errors.data)?.map((e, i) => rate(e ?? 0, requestCourse[i] ?? 0));
  return (
    <div className={q.isPlaceholderData ? "five stale" : "five"}>
      <Stat label="Requests" value={s && int(s.requests.value)} change={change(s?.requests.value, s?.requests.previous)} spark={requestCourse} tone="--text-2" />
      <Stat
        label="Spend"
        value={s && usd(s.cost_usd.value)}
        change={change(money(s?.cost_usd.value), money(s?.cost_usd.previous))}
        bad="up"
        spark={course(cost.data)}
        tone="--cost"
        note={s && s.unpriced.value > 0 ? `${int(s.unpriced.value)} unpriced` : undefined}
      />
      <Stat
        label="Latency p95"
        value={s && ms(s.latency_ms.p95)}
        change={change(s?.latency_ms.p95, s?.latency_ms.previous.p95)}
        bad="up"
        spark={course(latency.data, "p95")}
        tone="--latency-2"
      />
      <Stat label="Error rate" value={s && percent(errorRate)} change={change(errorRate, errorRateBefore)} bad="up" spark={errorCourse} tone="--error" />
      <Stat label="Tokens" value={s && compact(s.tokens.total.value)} change={change(s?.tokens.total.value, s?.tokens.total.previous)} spark={course(tokens.data)} tone="--text-2" />
    </div>
  );
}
