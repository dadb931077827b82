import { useQuery } from "@tanstack/react-query";
import type { Summary } from "../api/client";
import { comparison, models } from "../api/pages";
import { question, scopeOf, side, sideText, type Side } from "../lib/compare";
import { change, day, hourMinute, int, ms, percent, unknown, usd } from "../lib/format";
import { applied, type Filters as Wanted } from "../lib/search";
import { useSearchState } from "../route";
import { Filters } from "../ui/filters";
import { Icon } from "../ui/icons";
import { Change } from "../ui/stat";
import { Failure } from "../ui/states";
import { TopBar } from "../ui/topbar";
import { useWindow } from "../window";
import "../styles/reports.css";

/** Compare puts two selections side by side; without a word of the URL, the window before and this one. */
export function Compare() {
  const [search, set] = useSearchState();
  const { scope } = useWindow();
  const a = side(search.a ?? "window=before", scope.to);
  const b = side(search.b ?? "", scope.to);
  const [inA, inB] = [scopeOf(a, scope), scopeOf(b, scope)];
  const q = useQuery(comparison(scope.tenant, question(inA), question(inB)));
  return (
    <div className="page">
      <TopBar title="Compare" freshTo={q.data?.b.fresh_to} asOf={q.dataUpdatedAt} />
      <section className="card report compare">
        <div className="toolbar">
          <h2>Both sides</h2>
          <Filters add />
          <span className="grow" />
          <button className="button" onClick={() => set({ a: sideText(b), b: sideText(a) })}>
            <Icon name="swap" size={14} /> Swap
          </button>
        </div>
        <div className="sides">
          <SideCard name="A" side={a} span={inA} onChange={(s) => set({ a: sideText(s) })} />
          <SideCard name="B" side={b} span={inB} onChange={(s) => set({ b: sideText(s) })} />
        </div>
        {q.error && !q.data ? (
          <Failure what="The comparison could not be loaded." error={q.error} retry={() => void q.refetch()} />
        ) : (
          <Metrics a={q.data?.a} b={q.data?.b} stale={q.isPlaceholderData} />
        )}
      </section>
    </div>
  );
}

interface SideProps {
  name: string;
  side: Side;
  span: { from: string; to: string };
  onChange: (side: Side) => void;
}

/** SideCard says what a side is and lets its model and its window be chosen. */
function SideCard({ name, side: s, span, onChange }: SideProps) {
  const { scope } = useWindow();
  const { model: _m, provider: _p, ...others } = scope.filters;
  const q = useQuery(models({ ...scope, filters: others }));
  const one = (f: Wanted) => JSON.stringify([f.provider ?? [], f.model ?? []]);
  const known = (q.data?.rows ?? []).map((r) => ({ value: one({ provider: [r.provider], model: [r.model] }), label: `${r.model || "(none)"} · ${r.provider || "(none)"}` }));
  const now = one(s.filters);
  const all = one({});
  const mine = now === all || known.some((k) => k.value === now) ? [] : [{ value: now, label: [...(s.filters.model ?? []), ...(s.filters.provider ?? [])].join(" · ") }];
  const rest = applied(s.filters).filter((f) => f.name !== "model" && f.name !== "provider");
  const choose = (value: string) => {
    const { model: _model, provider: _provider, ...kept } = s.filters;
    const [provider, model] = JSON.parse(value) as [string[], string[]];
    onChange({ ...s, filters: { ...kept, ...(provider.length > 0 && { provider }), ...(model.length > 0 && { model }) } });
  };
  return (
    <fieldset className={`side-card side-${name.toLowerCase()}`}>
      <legend className="vh">Side {name}</legend>
      <span className="letter" aria-hidden="true">
        {name}
      </span>
      <div className="choices">
        <select className="field small" aria-label={`Model of side ${name}`} value={now} onChange={(e) => choose(e.currentTarget.value)}>
          <option value={all}>All models</option>
          {[...mine, ...known].map((k) => (
            <option key={k.value} value={k.value}>
              {k.label}
            </option>
          ))}
        </select>
        <select
          className="field small"
          aria-label={`Window of side ${name}`}
          value={typeof s.window === "string" ? s.window : "own"}
          onChange={(e) => onChange({ ...s, window: e.currentTarget.value as "before" | "page" })}
        >
          <option value="page">This window</option>
          <option value="before">The window before</option>
          {typeof s.window !== "string" && <option value="own">A window of its own</option>}
        </select>
      </div>
      <p className="dim">
        {stamp(span.from)} – {stamp(span.to)}
        {rest.map((f) => (
          <span key={f.name + f.value} className="tag">
            {f.name}: {f.value}
          </span>
        ))}
      </p>
    </fieldset>
  );
}

const stamp = (at: string) => `${day(at)} ${hourMinute(at)}`;

interface Metric {
  name: string;
  of: (s: Summary) => number | null;
  format: (n: number | null) => string;
  bad?: "up" | "down";
  /** Shown under the name. */
  note?: string;
}

const per = (part: number, whole: number) => (whole > 0 ? part / whole : null);
const spent = (s: Summary) => (s.cost_usd.value === null ? null : Number(s.cost_usd.value));

const metrics: { title: string; rows: Metric[] }[] = [
  {
    title: "Requests",
    rows: [
      { name: "Requests", of: (s) => s.requests.value, format: int },
      { name: "Error rate", of: (s) => per(s.errors.value, s.requests.value), format: percent, bad: "up", note: "failed or interrupted" },
      { name: "Canceled", of: (s) => per(s.canceled.value, s.requests.value), format: percent, note: "by clients" },
    ],
  },
  {
    title: "Latency",
    rows: [
      { name: "p50", of: (s) => s.latency_ms.p50, format: ms, bad: "up" },
      { name: "p95", of: (s) => s.latency_ms.p95, format: ms, bad: "up" },
      { name: "p99", of: (s) => s.latency_ms.p99, format: ms, bad: "up" },
    ],
  },
  {
    title: "First token",
    rows: [
      { name: "p50", of: (s) => s.ttft_ms.p50, format: ms, bad: "up" },
      { name: "p95", of: (s) => s.ttft_ms.p95, format: ms, bad: "up" },
    ],
  },
  {
    title: "Spend",
    rows: [
      { name: "Spend", of: spent, format: usd, bad: "up" },
      { name: "Per 1k requests", of: perThousand, format: usd, bad: "up", note: "that have a price" },
      { name: "Unpriced", of: (s) => s.unpriced.value, format: int, note: "not in the spend" },
    ],
  },
  {
    title: "Tokens",
    rows: [
      { name: "In, a request", of: (s) => per(s.tokens.input.value, s.requests.value), format: (n) => int(n) },
      { name: "Cached", of: (s) => per(s.tokens.cached.value, s.tokens.input.value), format: percent, bad: "down", note: "of tokens in" },
      { name: "Out, a request", of: (s) => per(s.tokens.output.value, s.requests.value), format: (n) => int(n) },
      { name: "In and out", of: (s) => s.tokens.total.value, format: int },
    ],
  },
];

function perThousand(s: Summary): number | null {
  const cost = spent(s);
  const priced = s.requests.value - s.unpriced.value - s.no_usage.value;
  return cost === null || priced <= 0 ? null : (cost / priced) * 1000;
}

function Metrics({ a, b, stale }: { a: Summary | undefined; b: Summary | undefined; stale: boolean }) {
  return (
    <div className={stale ? "sort-table stale" : "sort-table"} tabIndex={0} role="region" aria-label="The comparison" aria-busy={!a}>
      <table className="metrics">
        <caption className="vh">What A and B come to</caption>
        <thead>
          <tr>
            <th scope="col">
              <span className="vh">Metric</span>
            </th>
            <th scope="col" className="number">
              A
            </th>
            <th scope="col" className="number">
              B
            </th>
            <th scope="col" className="number">
              B against A
            </th>
            <td aria-hidden="true" />
          </tr>
        </thead>
        {metrics.map((group) => (
          <tbody key={group.title}>
            <tr className="group-row">
              <th scope="rowgroup" colSpan={5}>
                {group.title}
              </th>
            </tr>
            {group.rows.map((m) => (
              <Row key={m.name} metric={m} a={a} b={b} />
            ))}
          </tbody>
        ))}
      </table>
    </div>
  );
}

function Row({ metric: m, a, b }: { metric: Metric; a: Summary | undefined; b: Summary | undefined }) {
  const [va, vb] = [a ? m.of(a) : null, b ? m.of(b) : null];
  const most = Math.max(va ?? 0, vb ?? 0);
  const bar = (v: number | null) => ({ width: `${most > 0 ? ((v ?? 0) / most) * 100 : 0}%` });
  const text = (s: Summary | undefined, v: number | null) => (s ? <span className={v === null ? "dim" : undefined}>{m.format(v)}</span> : <i className="ghost-cell" />);
  const moved = change(vb, va);
  return (
    <tr>
      <th scope="row">
        {m.name} {m.note && <span className="dim">{m.note}</span>}
      </th>
      <td className="number">{text(a, va)}</td>
      <td className="number">{text(b, vb)}</td>
      <td className="number">{moved === null ? <span className="dim">{unknown}</span> : <Change of={moved} bad={m.bad} against="A" />}</td>
      <td className="pair" aria-hidden="true">
        <i style={bar(va)} />
        <i style={bar(vb)} />
      </td>
    </tr>
  );
}
