import { Skeleton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Facet } from "../api/client";
import { facets } from "../api/queries";
import { int } from "../lib/format";
import { toggled, type FlagFilter, type ListFilter, type Outcome, type Search } from "../lib/search";
import { useSearchState } from "../route";
import { useWindow } from "../window";
import { Icon } from "./icons";
import { Failure } from "./states";

const atFirst = 5;

/** One value that can be on, and the patch that turns it over. */
interface Choice {
  value: string;
  label: string;
  requests?: number;
  on: boolean;
  patch: Search;
}

/** Facets are the values there are to filter by, each with its count. */
export function Facets({ autoFocus = false }: { autoFocus?: boolean }) {
  const { scope } = useWindow();
  const [search, set] = useSearchState();
  const [text, setText] = useState("");
  const q = useQuery(facets(scope));
  const wanted = text.trim();
  const fits = (label: string) => label.toLowerCase().includes(wanted.toLowerCase());
  return (
    <div className="facets">
      <input
        className="field"
        data-key="/"
        aria-label="Find a value to filter by"
        placeholder="Find a value"
        value={text}
        autoFocus={autoFocus}
        onClick={(e) => e.currentTarget.focus()} // also for the key, which clicks
        onChange={(e) => setText(e.currentTarget.value)}
        onKeyDown={(e) => {
          if (e.key === "Escape" && text) {
            setText("");
            e.stopPropagation();
            e.preventDefault();
          }
        }}
      />
      {wanted && (
        <Group
          title={`By “${wanted}”, as it is`}
          choices={literal(search, wanted)}
          onChoose={(patch) => {
            set(patch);
            setText("");
          }}
        />
      )}
      {q.error && !q.data && <Failure what="The values could not be loaded." error={q.error} retry={() => void q.refetch()} />}
      {q.isPending && <Skeleton height={220} />}
      <div className={q.isPlaceholderData ? "stale" : undefined}>
        {q.data?.facets.map((f) => (
          <Group key={f.dim} title={f.dim.replace(/^tag:/, "")} tag={f.dim.startsWith("tag:")} choices={choicesOf(f, search).filter((c) => fits(c.label))} more={f.more} onChoose={set} />
        ))}
      </div>
      <Group title="Request" choices={flags(search).filter((c) => fits(c.label))} onChoose={set} />
      {!wanted && (
        <div className="least">
          <Least key={`ms ${search.min_latency_ms}`} label="From latency, ms" value={search.min_latency_ms} onSet={(v) => set({ min_latency_ms: v === undefined ? undefined : Number(v) })} />
          <Least key={`usd ${search.min_cost_usd}`} label="From cost, $" value={search.min_cost_usd} onSet={(v) => set({ min_cost_usd: v })} />
        </div>
      )}
    </div>
  );
}

/** choicesOf puts what is filtered by first, also where the window has none of it. */
function choicesOf(f: Facet, s: Search): Choice[] {
  const tag = f.dim.startsWith("tag:") ? f.dim.slice(4) : undefined;
  const name = tag === undefined ? (f.dim as "model" | "provider" | "key" | "outcome") : "tag";
  const written = (value: string) => (tag === undefined ? value : `${tag}:${value}`);
  const have: readonly string[] = s[name] ?? [];
  const known = new Set(f.values.map((v) => written(v.value)));
  const gone = have
    .filter((v) => !known.has(v) && (tag === undefined || v.startsWith(`${tag}:`)))
    .map((v) => ({ value: tag === undefined ? v : v.slice(tag.length + 1), label: tag === undefined ? v : v.slice(tag.length + 1), requests: 0 }));
  return [...gone, ...f.values].map((v) => ({
    value: v.value,
    label: v.label || "(none)",
    requests: v.requests,
    on: have.includes(written(v.value)),
    patch: { [name]: name === "outcome" ? toggled(s.outcome, v.value as Outcome) : toggled(s[name], written(v.value)) },
  }));
}

/** literal offers what was typed as a value of each filter that takes any text. */
function literal(s: Search, text: string): Choice[] {
  const names: ListFilter[] = text.includes(":") && !text.startsWith(":") ? ["tag", "session", "model"] : ["model", "provider", "session"];
  return names.map((name) => ({ value: name, label: `${name} ${text}`, on: s[name]?.includes(text) ?? false, patch: { [name]: toggled(s[name], text) } }));
}

function flags(s: Search): Choice[] {
  const flag = (name: FlagFilter, want: boolean, label: string): Choice => ({
    value: name + String(want),
    label,
    on: s[name] === want,
    patch: { [name]: s[name] === want ? undefined : want },
  });
  const cost = (status: "unpriced" | "no_usage", label: string): Choice => ({
    value: status,
    label,
    on: s.cost_status?.includes(status) ?? false,
    patch: { cost_status: toggled(s.cost_status, status) },
  });
  return [
    flag("stream", true, "Streamed"),
    flag("stream", false, "Not streamed"),
    flag("cached", true, "Input from a cache"),
    flag("retried", true, "More than one attempt"),
    cost("unpriced", "No price known"),
    cost("no_usage", "No usage reported"),
  ];
}

function Group({ title, tag = false, choices, more = false, onChoose }: { title: string; tag?: boolean; choices: Choice[]; more?: boolean; onChoose: (patch: Search) => void }) {
  const [all, setAll] = useState(false);
  if (choices.length === 0) return null;
  const shown = all ? choices : choices.filter((c, i) => i < atFirst || c.on);
  const rest = choices.length - shown.length;
  return (
    <section className="facet">
      <h3>
        {title}
        {tag && <span className="dim"> tag</span>}
      </h3>
      {shown.map((c) => (
        <button key={c.value} className="option" aria-pressed={c.on} onClick={() => onChoose(c.patch)}>
          <span className="box">{c.on && <Icon name="check" size={12} />}</span>
          <span className="ellipsis" title={c.label}>
            {c.label}
          </span>
          {c.requests !== undefined && <span className="dim number">{int(c.requests)}</span>}
        </button>
      ))}
      {rest > 0 && (
        <button className="quiet more" onClick={() => setAll(true)}>
          {rest} more…
        </button>
      )}
      {all && more && <p className="hint">There are more. Find one by its name above.</p>}
    </section>
  );
}

function Least({ label, value, onSet }: { label: string; value: string | number | undefined; onSet: (v: string | undefined) => void }) {
  const [text, setText] = useState(value === undefined ? "" : String(value));
  const done = () => {
    const next = text.trim() || undefined;
    if (next !== (value === undefined ? undefined : String(value))) onSet(next);
  };
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        done();
      }}
    >
      <label>
        {label}
        <input className="field" inputMode="decimal" value={text} onChange={(e) => setText(e.currentTarget.value)} onBlur={done} />
      </label>
    </form>
  );
}
