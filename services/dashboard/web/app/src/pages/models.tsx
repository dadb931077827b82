import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import type { ModelRow } from "../api/client";
import { models } from "../api/pages";
import { ofModel } from "../lib/compare";
import { compact, int, ms, percent, unknown, usd } from "../lib/format";
import { carried, type Search } from "../lib/search";
import { useSearchState } from "../route";
import { Filters } from "../ui/filters";
import { NoRequests, Share, SortTable, type Column } from "../ui/sort-table";
import { Failure } from "../ui/states";
import { TopBar } from "../ui/topbar";
import { Provider } from "../ui/trace-bits";
import { useWindow } from "../window";

const keyOf = (r: ModelRow) => JSON.stringify([r.provider, r.model]);

/** Models is how the models do: how much, how fast, how often they fail and what they cost. */
export function Models() {
  const [search] = useSearchState();
  const { scope } = useWindow();
  const q = useQuery(models(scope));
  const rows = q.data?.rows;
  const [ticked, setTicked] = useState<string[]>([]);
  const chosen = (rows ?? []).filter((r) => ticked.includes(keyOf(r)));
  const columns = useMemo(() => columnsOf(rows ?? [], search), [rows, search]);
  const tick = (key: string) => setTicked(chosen.map(keyOf).includes(key) ? ticked.filter((k) => k !== key) : [...chosen.map(keyOf), key]);
  return (
    <div className="page">
      <TopBar title="Models" freshTo={q.data?.fresh_to} asOf={q.dataUpdatedAt} />
      <section className="card report">
        <div className="toolbar">
          <h2>Models</h2>
          <Filters add />
          <span className="grow" />
          <CompareLink chosen={chosen} search={search} />
        </div>
        {q.error && !q.data ? (
          <Failure what="The models could not be loaded." error={q.error} retry={() => void q.refetch()} />
        ) : rows?.length === 0 ? (
          <NoRequests icon="models" />
        ) : (
          <SortTable
            caption="Models"
            columns={columns}
            rows={rows}
            stale={q.isPlaceholderData}
            keyOf={keyOf}
            initial="-requests"
            lead={{
              name: "To compare",
              cell: (r) => {
                const on = ticked.includes(keyOf(r));
                return (
                  <label className="tick">
                    <input type="checkbox" checked={on} disabled={!on && chosen.length === 2} onChange={() => tick(keyOf(r))} />
                    <span className="vh">
                      Compare {r.model} of {r.provider}
                    </span>
                  </label>
                );
              },
            }}
          />
        )}
        <footer className="foot">
          <span>{rows ? `${int(rows.length)} ${rows.length === 1 ? "model" : "models"}` : "Loading"}</span>
          <span>Latency is end to end, tokens per second are those of the answer over all of its time</span>
        </footer>
      </section>
    </div>
  );
}

/** CompareLink leads to the two models that are ticked, in the window and the other filters of the page. */
function CompareLink({ chosen: [a, b], search }: { chosen: ModelRow[]; search: Search }) {
  if (!a || !b) {
    return <span className="dim">{a ? "Tick one more to compare" : "Tick two models to compare them"}</span>;
  }
  return (
    <Link
      to="/compare"
      search={{ ...carried(search), model: undefined, provider: undefined, a: ofModel(a.provider, a.model), b: ofModel(b.provider, b.model) }}
      className="button primary small"
    >
      Compare the two
    </Link>
  );
}

const nothing = <span className="dim">{unknown}</span>;
const amount = (v: string | null) => (v === null ? null : Number(v));
const rate = (r: ModelRow) => (r.requests > 0 ? r.errors / r.requests : null);

function columnsOf(rows: readonly ModelRow[], search: Search): Column<ModelRow>[] {
  const most = Math.max(1, ...rows.map((r) => r.requests));
  const time = (id: string, name: string, title: string, of: (r: ModelRow) => number | null): Column<ModelRow> => ({
    id,
    name,
    title,
    numeric: true,
    value: of,
    cell: (r) => (of(r) === null ? nothing : ms(of(r))),
  });
  return [
    {
      id: "name",
      name: "Model",
      value: (r) => r.model,
      cell: (r) => (
        <span className="model">
          <Provider name={r.provider} />
          <Link
            to="/traces"
            search={{ ...carried(search), model: [r.model], provider: [r.provider] }}
            className="quiet-strong ellipsis"
            title={`Show the traces of ${r.model}`}
          >
            {r.model || "(none)"}
          </Link>
        </span>
      ),
    },
    { id: "provider", name: "Provider", value: (r) => r.provider, cell: (r) => <span className="ellipsis">{r.provider || "(none)"}</span> },
    {
      id: "requests",
      name: "Requests",
      numeric: true,
      value: (r) => r.requests,
      cell: (r) => (
        <span className="shared">
          <Share of={r.requests / most} tone="--series-other" />
          <span>{int(r.requests)}</span>
        </span>
      ),
    },
    time("p50", "p50", "Latency: half of the requests took no longer", (r) => r.latency_ms.p50),
    time("p95", "p95", "Latency: 95 of 100 requests took no longer", (r) => r.latency_ms.p95),
    time("first50", "First p50", "Time to the first token: half of the streams took no longer", (r) => r.ttft_ms.p50),
    time("first95", "First p95", "Time to the first token: 95 of 100 streams took no longer", (r) => r.ttft_ms.p95),
    {
      id: "speed",
      name: "Tokens/s",
      title: "Tokens of the answers over their whole time",
      numeric: true,
      value: (r) => r.output_per_s,
      cell: (r) => (!r.output_per_s ? nothing : compact(Number(r.output_per_s.toPrecision(3)))),
    },
    {
      id: "errors",
      name: "Errors",
      title: "Failed and interrupted requests, of all",
      numeric: true,
      value: rate,
      cell: (r) =>
        r.errors > 0 ? (
          <span className="status bad" title={`${int(r.errors)} of ${int(r.requests)}`}>
            <i />
            {percent(rate(r))}
          </span>
        ) : (
          percent(rate(r))
        ),
    },
    {
      id: "per",
      name: "Per 1k",
      title: "A thousand requests that have a price",
      numeric: true,
      value: (r) => amount(r.per_1k_usd),
      cell: (r) => (r.per_1k_usd === null ? nothing : usd(r.per_1k_usd)),
    },
    {
      id: "cost",
      name: "Spend",
      numeric: true,
      value: (r) => amount(r.cost_usd),
      cell: (r) => (r.cost_usd === null ? nothing : <span title={`$${r.cost_usd}`}>{usd(r.cost_usd)}</span>),
    },
  ];
}
