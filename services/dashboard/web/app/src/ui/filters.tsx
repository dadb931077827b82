import { Popover, SegmentedControl } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { timeseries } from "../api/queries";
import { int } from "../lib/format";
import { applied, filtered, groups, noFilters, outcomes, toggled, type Outcome, type Search } from "../lib/search";
import { useSearchState } from "../route";
import { useWindow } from "../window";
import { Icon } from "./icons";

/** Filters narrows the page's lists and charts: chips for what is on, and a way to add more. */
export function Filters() {
  const [search, set] = useSearchState();
  const status = search.status ?? "all";
  return (
    <>
      <SegmentedControl
        size="xs"
        aria-label="Status"
        value={status}
        onChange={(v) => set({ status: v === "all" ? undefined : (v as "ok" | "error") })}
        data={[
          { value: "all", label: "All" },
          { value: "ok", label: "OK" },
          { value: "error", label: "Errors" },
        ]}
      />
      {applied(search).filter((a) => a.name !== "status").map((a) => (
        <Chip key={a.name + a.value} name={a.name} value={a.value} onRemove={() => set(a.without)} />
      ))}
      <AddFilter search={search} set={set} />
      {filtered(search) && <ClearFilters />}
    </>
  );
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

function Chip({ name, value, onRemove }: { name: string; value: string; onRemove: () => void }) {
  return (
    <button className="chip" onClick={onRemove} aria-label={`Remove the filter ${name} ${value}`}>
      <span className="dim">{name}</span>
      <span className="ellipsis">{value}</span>
      <Icon name="close" size={12} />
    </button>
  );
}

function AddFilter({ search, set }: { search: Search; set: (patch: Search) => void }) {
  const [open, setOpen] = useState(false);
  const [by, setBy] = useState<(typeof groups)[number] | "outcome">("model");
  return (
    <Popover opened={open} onChange={setOpen} position="bottom-start" width={280} trapFocus shadow="md">
      <Popover.Target>
        <button className="dashed" onClick={() => setOpen(!open)} aria-expanded={open}>
          <Icon name="filter" size={14} /> Filter
        </button>
      </Popover.Target>
      <Popover.Dropdown>
        <SegmentedControl
          size="xs"
          fullWidth
          aria-label="Filter by"
          value={by}
          onChange={(v) => setBy(v as typeof by)}
          data={[...groups, "outcome"]}
        />
        {by === "outcome" ? (
          <div className="options">
            {outcomes.map((o) => (
              <Option key={o} label={o} on={search.outcome?.includes(o) ?? false} onClick={() => set({ outcome: toggled<Outcome>(search.outcome, o) })} />
            ))}
          </div>
        ) : (
          <Values by={by} on={search[by] ?? []} onToggle={(v) => set({ [by]: toggled(search[by], v) })} />
        )}
      </Popover.Dropdown>
    </Popover>
  );
}

/** Values offers the values that the window's requests have most often, and takes any other by name. */
function Values({ by, on, onToggle }: { by: (typeof groups)[number]; on: string[]; onToggle: (value: string) => void }) {
  const { scope } = useWindow();
  const [text, setText] = useState("");
  const all = { ...scope, filters: { ...scope.filters, [by]: undefined } };
  const q = useQuery(timeseries(all, "requests", by));
  const known = (q.data?.series ?? []).filter((s) => !s.other && s.key !== "");
  const wanted = text.trim();
  const shown = known.filter((s) => s.label.toLowerCase().includes(wanted.toLowerCase()));
  return (
    <>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          const match = shown.length === 1 ? shown[0]?.key : undefined;
          if (wanted) onToggle(match ?? wanted);
          setText("");
        }}
      >
        <input
          className="field"
          aria-label={`Find a ${by}`}
          placeholder={by === "key" ? "Find a key, or enter its id" : `Find or enter a ${by}`}
          value={text}
          onChange={(e) => setText(e.currentTarget.value)}
          data-autofocus
        />
      </form>
      <div className="options">
        {shown.map((s) => (
          <Option key={s.key} label={s.label} count={s.total} on={on.includes(s.key)} onClick={() => onToggle(s.key)} />
        ))}
        {q.isPending && <p className="hint">Loading…</p>}
        {q.isSuccess && shown.length === 0 && (
          <p className="hint">{wanted ? `Press Enter to filter by “${wanted}”.` : "No requests in this window."}</p>
        )}
      </div>
    </>
  );
}

function Option({ label, count, on, onClick }: { label: string; count?: string | null; on: boolean; onClick: () => void }) {
  return (
    <button className="option" aria-pressed={on} onClick={onClick}>
      <span className="box">{on && <Icon name="check" size={12} />}</span>
      <span className="ellipsis">{label}</span>
      {count != null && <span className="dim">{int(Number(count))}</span>}
    </button>
  );
}
