import { SegmentedControl } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { facets } from "../api/queries";
import { added, groups, type Group, type Search } from "../lib/search";
import { useWindow } from "../window";

/** narrowed is the filter that leaves one series of a chart; requests without the tag cannot be asked for. */
export function narrowed(s: Search, by: Group, key: string): Search {
  if (key === "") return {};
  if (by === "model" || by === "provider" || by === "key") return added(s, by, key);
  return added(s, "tag", `${by.slice(4)}:${key}`);
}

/** GroupBy chooses what a chart goes by; of tags, the name among those that requests have. */
export function GroupBy({ by, onBy }: { by: Group; onBy: (by: Group) => void }) {
  const { scope } = useWindow();
  const queries = useQueryClient();
  const tagged = by.startsWith("tag:");
  const q = useQuery({ ...facets(scope), enabled: tagged });
  const [none, setNone] = useState(false);
  const names = tagNames(q.data);
  const choose = async (v: string) => {
    setNone(false);
    if (v !== "tag") return onBy(v as Group);
    const first = tagNames(await queries.fetchQuery(facets(scope)).catch(() => undefined))[0];
    if (first) onBy(first);
    else setNone(true);
  };
  return (
    <>
      <SegmentedControl size="xs" aria-label="Group by" value={tagged ? "tag" : by} onChange={(v) => void choose(v)} data={[...groups, "tag"]} />
      {tagged && (
        <select className="field small" aria-label="Tag" value={by} onChange={(e) => onBy(e.currentTarget.value as Group)}>
          {(names.includes(by) ? names : [by, ...names]).map((n) => (
            <option key={n} value={n}>
              {n.slice(4)}
            </option>
          ))}
        </select>
      )}
      {none && (
        <span className="dim" role="status">
          No request of this window has a tag.
        </span>
      )}
    </>
  );
}

const tagNames = (f: { facets: { dim: string }[] } | undefined) => (f?.facets ?? []).map((x) => x.dim).filter((d): d is Group => d.startsWith("tag:"));
