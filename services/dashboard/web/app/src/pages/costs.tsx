import { Skeleton } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useMemo, type ReactNode } from "react";
import { basePath, client, data, type CostRow, type Costs as Answer } from "../api/client";
import { costs } from "../api/pages";
import { header, query, timeseries } from "../api/queries";
import { change, compact, int, percent, unknown, usd, usdTick } from "../lib/format";
import { stringify, type Group } from "../lib/search";
import { useSearchState } from "../route";
import { ChartCard } from "../ui/chart/card";
import { Filters } from "../ui/filters";
import { GroupBy, narrowed } from "../ui/group-by";
import { Icon } from "../ui/icons";
import { NoRequests, Share, SortTable, type Column } from "../ui/sort-table";
import { Change } from "../ui/stat";
import { Failure } from "../ui/states";
import { TopBar } from "../ui/topbar";
import { useWindow } from "../window";

/** Costs is what was spent, on what, and what the month comes to. */
export function Costs() {
  const [search, set] = useSearchState();
  const { scope, zoom } = useWindow();
  const by = search.by ?? "model";
  const q = useQuery(costs(scope, by));
  const series = useQuery(timeseries(scope, "cost", by));
  return (
    <div className="page">
      <TopBar title="Costs" freshTo={q.data?.fresh_to} asOf={q.dataUpdatedAt} />
      {q.error && !q.data ? (
        <section className="card">
          <Failure what="The costs could not be loaded." error={q.error} retry={() => void q.refetch()} />
        </section>
      ) : (
        <Totals data={q.data} stale={q.isPlaceholderData} />
      )}
      {q.data && q.data.unpriced > 0 && <Unpriced data={q.data} />}
      <ChartCard
        title="Spend over time"
        sub={`by ${words(by)}, USD per interval`}
        query={series}
        mode="stack"
        format={usd}
        tick={usdTick}
        totals
        onPick={({ from, to, key }) => zoom({ from, to, ...(key !== null && narrowed(search, by, key)) })}
        controls={
          <div className="controls">
            <GroupBy by={by} onBy={(g) => set({ by: g === "model" ? undefined : g }, true)} />
          </div>
        }
      />
      {!(q.error && !q.data) && <Breakdown data={q.data} by={by} stale={q.isPlaceholderData} />}
    </div>
  );
}

const words = (by: Group) => (by === "key" ? "API key" : by.startsWith("tag:") ? `tag ${by.slice(4)}` : by);

function Totals({ data: d, stale }: { data: Answer | undefined; stale: boolean }) {
  const month = d && { from: Date.parse(d.month.from), to: Date.parse(d.month.to) };
  const left = (n: number, what: string) => (n > 0 ? `${int(n)} ${what}` : undefined);
  return (
    <div className={stale ? "four stale" : "four"}>
      <Figure label="Spend" value={d && usd(d.total_usd)} exact={d?.total_usd} beside={d && <Change of={moved(d.total_usd, d.previous_usd)} bad="up" />}>
        {d && (d.previous_usd === null ? "the window before has no price" : `${usd(d.previous_usd)} in the window before`)}
      </Figure>
      <Figure label="This month so far" value={d && usd(d.month.spent_usd)} exact={d?.month.spent_usd}>
        {month && `since ${utcDay(month.from)}, in UTC`}
      </Figure>
      <Figure label="Forecast for the month" value={d && usd(d.month.forecast_usd)} exact={d?.month.forecast_usd}>
        {month && d && (d.month.forecast_usd === null ? "after the first hour of traffic" : `to ${utcDay(month.to - 1)}, at the rate of the last 7 days`)}
      </Figure>
      <Figure label="Requests" value={d && int(d.requests)}>
        {d && ([left(d.unpriced, "unpriced"), left(d.no_usage, "without usage")].filter(Boolean).join(", ") || (d.requests > 0 ? "all of them with a price" : "none in this window"))}
      </Figure>
    </div>
  );
}

const utc = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const utcDay = (at: number) => utc.format(at);

const amount = (v: string | null) => (v === null ? null : Number(v));
const moved = (now: string | null, before: string | null) => change(amount(now), amount(before));

function Figure({ label, value, exact, beside, children }: { label: string; value: string | undefined; exact?: string | null; beside?: ReactNode; children?: ReactNode }) {
  return (
    <section className="card figure">
      <h2>{label}</h2>
      {value === undefined ? (
        <Skeleton height={28} width="60%" my={4} />
      ) : (
        <p className="line">
          <span className="big" title={exact ? `$${exact}` : undefined}>
            {value}
          </span>
          {beside}
        </p>
      )}
      <p className="under">{children}</p>
    </section>
  );
}

/** Unpriced says which requests are in no sum, and how they get a price. */
function Unpriced({ data: d }: { data: Answer }) {
  const first = d.unpriced_models[0];
  return (
    <section className="card notice" aria-label="Requests without a price">
      <Icon name="alert" size={18} />
      <div>
        <h2>
          {int(d.unpriced)} {d.unpriced === 1 ? "request has" : "requests have"} no price and {d.unpriced === 1 ? "is" : "are"} not in these sums
        </h2>
        <ul className="unpriced">
          {d.unpriced_models.map((m) => (
            <li key={`${m.provider} ${m.model}`}>
              <b>{m.model}</b> of {m.provider}, {int(m.requests)} {m.requests === 1 ? "request" : "requests"}
            </li>
          ))}
        </ul>
        {first && (
          <details>
            <summary>Give {d.unpriced_models.length === 1 ? "it" : "them"} a price</summary>
            <p>
              Put the price, in dollars for a million tokens, under <code>prices</code> in your file and apply it with{" "}
              <code>loom apply -f loom.yaml</code>. Later requests have it. Those of the last seven days get it with{" "}
              <code>loom replay --projection usage</code>.
            </p>
            <pre className="code" tabIndex={0}>
              {`prices:\n  - provider: ${JSON.stringify(first.provider)}\n    model: ${JSON.stringify(first.model)}\n    from: ${d.from.slice(0, 10)}\n    input: "…"\n    output: "…"`}
            </pre>
          </details>
        )}
      </div>
    </section>
  );
}

function Breakdown({ data: d, by, stale }: { data: Answer | undefined; by: Group; stale: boolean }) {
  const [search, set] = useSearchState();
  const shownBy = (d?.by ?? by) as Group;
  const columns = useMemo(() => columnsOf(shownBy), [shownBy]);
  const narrow = (row: CostRow) => (row.key === "" ? undefined : () => set(narrowed(search, shownBy, row.key)));
  return (
    <section className="card report">
      <div className="toolbar">
        <h2>By {words(shownBy)}</h2>
        <Filters add />
        <span className="grow" />
        <Download by={by} />
      </div>
      {d?.rows.length === 0 ? (
        <NoRequests icon="costs" />
      ) : (
        <SortTable caption={`Costs by ${words(shownBy)}`} columns={columns} rows={d?.rows} stale={stale} keyOf={(r) => r.key} initial="-cost" onRow={narrow} />
      )}
      <footer className="foot">
        <span>{d ? `${int(d.rows.length)} ${d.rows.length === 1 ? "row" : "rows"}` : "Loading"}</span>
        {d && d.more > 0 && <span>{int(d.more)} more with lower costs, in the file</span>}
      </footer>
    </section>
  );
}

const nothing = <span className="dim">{unknown}</span>;

function columnsOf(by: Group): Column<CostRow>[] {
  return [
    {
      id: "name",
      name: words(by).replace(/^./, (c) => c.toUpperCase()),
      value: (r) => r.label,
      cell: (r) =>
        r.key === "" ? (
          <span className="dim">{by.startsWith("tag:") ? `without the tag ${by.slice(4)}` : "(none)"}</span>
        ) : (
          <button className="quiet-strong name" title={`Show only ${r.label}`}>
            <span className="ellipsis">{r.label}</span>
          </button>
        ),
    },
    { id: "cost", name: "Spend", numeric: true, value: (r) => amount(r.cost_usd), cell: (r) => (r.cost_usd === null ? <NoPrice row={r} /> : <span title={`$${r.cost_usd}`}>{usd(r.cost_usd)}</span>) },
    {
      id: "share",
      name: "Share",
      numeric: true,
      value: (r) => r.share,
      cell: (r) => (
        <span className="shared">
          <Share of={r.share} tone="--cost" />
          <span>{percent(r.share)}</span>
        </span>
      ),
    },
    {
      id: "delta",
      name: "Change",
      title: "Against the window before",
      numeric: true,
      value: (r) => moved(r.cost_usd, r.previous_usd),
      cell: (r) => <Moved row={r} />,
    },
    { id: "requests", name: "Requests", numeric: true, value: (r) => r.requests, cell: (r) => int(r.requests) },
    { id: "in", name: "Tokens in", numeric: true, value: (r) => r.tokens_in, cell: (r) => <span title={int(r.tokens_in)}>{compact(r.tokens_in)}</span> },
    { id: "cached", name: "Cached", title: "Of the tokens in, read from the provider's cache", numeric: true, value: (r) => r.cached_tokens, cell: (r) => <span title={int(r.cached_tokens)}>{compact(r.cached_tokens)}</span> },
    { id: "out", name: "Tokens out", numeric: true, value: (r) => r.tokens_out, cell: (r) => <span title={int(r.tokens_out)}>{compact(r.tokens_out)}</span> },
    { id: "per", name: "Per 1k requests", title: "A thousand requests that have a price", numeric: true, value: (r) => amount(r.per_1k_usd), cell: (r) => (r.per_1k_usd === null ? nothing : usd(r.per_1k_usd)) },
  ];
}

function NoPrice({ row }: { row: CostRow }) {
  return (
    <span className="dim" title={row.unpriced > 0 ? "No price is known" : "No usage was reported"}>
      {unknown}
    </span>
  );
}

function Moved({ row }: { row: CostRow }) {
  const by = moved(row.cost_usd, row.previous_usd);
  if (by !== null) return <Change of={by} bad="up" />;
  return row.previous_usd !== null && Number(row.previous_usd) === 0 && Number(row.cost_usd) > 0 ? <span className="delta">new</span> : nothing;
}

/** Download is the table as a file: a plain link, but where a tenant has to be named, which a link cannot. */
function Download({ by }: { by: Group }) {
  const { scope } = useWindow();
  const asked = { ...query(scope), by };
  const save = useMutation({
    mutationFn: () => data(client.GET("/api/v1/costs.csv", { params: { query: asked, header: header(scope.tenant) }, parseAs: "text" })),
    onSuccess: (text) => {
      const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
      Object.assign(document.createElement("a"), { href: url, download: "costs.csv" }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    },
  });
  return (
    <a
      className="button"
      href={`${basePath}/api/v1/costs.csv${stringify(asked)}`}
      download="costs.csv"
      title={save.error?.message}
      onClick={(e) => {
        if (scope.tenant === undefined) return;
        e.preventDefault();
        save.mutate();
      }}
    >
      <Icon name="download" size={14} /> {save.isError ? "CSV, once more" : "CSV"}
    </a>
  );
}
