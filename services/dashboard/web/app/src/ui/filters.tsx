import { SegmentedControl } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { facets, summary } from "../api/queries";
import { ms, usd } from "../lib/format";
import { applied, filtered, noFilters, type Applied } from "../lib/search";
import { builtIns, isView, removeView, saveView, viewSearch, views } from "../lib/views";
import { useSearchState } from "../route";
import { useSession } from "../session";
import { useWindow } from "../window";
import { Facets } from "./facets";
import { Icon } from "./icons";
import { Pop } from "./pop";

/** Filters narrows the page's lists and charts: chips for what is on, and a way to add more. */
export function Filters({ add }: { add: boolean }) {
  const [search, set] = useSearchState();
  return (
    <>
      <SegmentedControl
        size="xs"
        aria-label="Status"
        value={search.status ?? "all"}
        onChange={(v) => set({ status: v === "all" ? undefined : (v as "ok" | "error") })}
        data={[
          { value: "all", label: "All" },
          { value: "ok", label: "OK" },
          { value: "error", label: "Errors" },
        ]}
      />
      <Chips />
      {add && (
        <Pop className="dashed" width={300} name="/" face={<><Icon name="filter" size={14} /> Filter</>}>
          {() => <Facets autoFocus />}
        </Pop>
      )}
      {filtered(search) && <ClearFilters />}
    </>
  );
}

/** Chips are the filters that are on, each taken away with a click. Status has its own control. */
function Chips() {
  const [search, set] = useSearchState();
  const name = useNames();
  return applied(search)
    .filter((a) => a.name !== "status")
    .map((a) => {
      const { dim, text } = worded(a, name);
      return (
        <button className="chip" key={a.name + a.value} onClick={() => set(a.without)} aria-label={`Remove the filter ${dim} ${text}`}>
          {dim && <span className="dim">{dim}</span>}
          <span className="ellipsis">{text}</span>
          <Icon name="close" size={12} />
        </button>
      );
    });
}

/** RemoveFilters offers to take away each filter, where together they leave nothing. */
export function RemoveFilters() {
  const [search, set] = useSearchState();
  const name = useNames();
  return (
    <div className="remove">
      {applied(search).map((a) => {
        const { dim, text } = worded(a, name);
        return (
          <button className="button" key={a.name + a.value} onClick={() => set(a.without)}>
            <Icon name="close" size={13} />
            <span className="vh">Remove the filter</span> {dim} {text}
          </button>
        );
      })}
      <ClearFilters />
    </div>
  );
}

/** useNames knows keys by name, where the values were asked for anyway. */
function useNames(): (key: string) => string {
  const { scope } = useWindow();
  const q = useQuery({ ...facets(scope), enabled: false });
  const values = q.data?.facets.find((f) => f.dim === "key")?.values;
  return (key) => values?.find((v) => v.value === key)?.label ?? key;
}

/** worded says a filter in words: a name before the value, where the value alone would not do. */
function worded({ name, value }: Applied, keyName: (key: string) => string): { dim: string; text: string } {
  const yes = value === "true";
  switch (name) {
    case "key":
      return { dim: "key", text: keyName(value) };
    case "stream":
      return { dim: "", text: yes ? "streamed" : "not streamed" };
    case "cached":
      return { dim: "", text: yes ? "input from a cache" : "nothing from a cache" };
    case "retried":
      return { dim: "", text: yes ? "more than one attempt" : "one attempt" };
    case "cost_status":
      return { dim: "", text: { priced: "priced", unpriced: "no price known", no_usage: "no usage reported" }[value] ?? value };
    case "min_cost_usd":
      return { dim: "costs at least", text: usd(value) };
    case "min_latency_ms":
      return { dim: "slower than", text: ms(Number(value)) };
    case "http_status":
      return { dim: "HTTP", text: value };
    default:
      return { dim: name, text: value };
  }
}

/** ClearFilters takes all filters away. */
export function ClearFilters() {
  const [, set] = useSearchState();
  return (
    <button className="link" onClick={() => set(noFilters)}>
      Clear filters
    </button>
  );
}

/** Views are names for what is shown: some that are always there, and one's own. */
export function Views() {
  return (
    <Pop className="dashed" width={300} face={<><Icon name="bookmark" size={14} /> Views</>}>
      {(close) => <ViewList close={close} />}
    </Pop>
  );
}

function ViewList({ close }: { close: () => void }) {
  const { tenant } = useSession();
  const { scope } = useWindow();
  const [search, set] = useSearchState();
  const id = tenant?.id ?? "";
  const [own, setOwn] = useState(() => views(id));
  const [name, setName] = useState("");
  // Slow and expensive are measured against everything in the window.
  const all = useQuery(summary({ ...scope, filters: {} }));
  const builtIn = builtIns({ p95: all.data?.latency_ms.p95, requests: all.data?.requests.value, cost: all.data?.cost_usd.value });
  return (
    <>
      <div className="options">
        {builtIn.map((v) => (
          <button
            key={v.name}
            className="option"
            aria-pressed={isView(search, v.filters)}
            onClick={() => {
              set(v.filters);
              close();
            }}
          >
            <Icon name="bookmark" size={14} />
            <span className="ellipsis">{v.name}</span>
            <span className="dim">
              {v.filters.min_latency_ms !== undefined && `from ${ms(v.filters.min_latency_ms)}, the p95`}
              {v.filters.min_cost_usd !== undefined && `from ${usd(v.filters.min_cost_usd)}, 5× the mean`}
            </span>
          </button>
        ))}
        {own.map((v) => (
          <div className="own-view" key={v.name}>
            <button
              className="option"
              onClick={() => {
                set(viewSearch(v));
                close();
              }}
            >
              <Icon name="user" size={14} />
              <span className="ellipsis">{v.name}</span>
            </button>
            <button className="icon-button" aria-label={`Forget the view ${v.name}`} title="Forget" onClick={() => setOwn(removeView(id, v.name))}>
              <Icon name="close" size={13} />
            </button>
          </div>
        ))}
      </div>
      <form
        className="save-view"
        onSubmit={(e) => {
          e.preventDefault();
          if (!name.trim()) return;
          setOwn(saveView(id, name, search));
          setName("");
        }}
      >
        <input className="field" aria-label="Name for what is shown" placeholder="Name what is shown" maxLength={60} value={name} onChange={(e) => setName(e.currentTarget.value)} />
        <button className="button" disabled={!name.trim()}>
          Save
        </button>
      </form>
    </>
  );
}
