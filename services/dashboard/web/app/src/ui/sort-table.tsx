import { useMemo, type ReactNode } from "react";
import { filtered } from "../lib/search";
import { order, ordered, sorted } from "../lib/sort";
import { useSearchState } from "../route";
import "../styles/reports.css";
import { RemoveFilters } from "./filters";
import { Icon, type IconName } from "./icons";
import { Empty } from "./states";

export interface Column<T> {
  id: string;
  name: string;
  /** What the column means, where its name does not say it. */
  title?: string;
  /** Numbers are on the right, and their largest first. */
  numeric?: boolean;
  /** What rows are sorted by. */
  value: (row: T) => number | string | null;
  cell: (row: T) => ReactNode;
}

interface Props<T> {
  caption: string;
  columns: Column<T>[];
  /** undefined while they load for the first time. */
  rows: readonly T[] | undefined;
  stale: boolean;
  keyOf: (row: T) => string;
  /** The order without a word of the URL. */
  initial: string;
  /** A column before the others, such as boxes to tick. */
  lead?: { name: string; cell: (row: T) => ReactNode };
  /** What a click on a row does; undefined for rows where it does nothing. */
  onRow?: (row: T) => (() => void) | undefined;
}

const ghosts = 6;

/** SortTable shows all rows of an answer, in the order of the column that was clicked. */
export function SortTable<T>({ caption, columns, rows, stale, keyOf, initial, lead, onRow }: Props<T>) {
  const [search, set] = useSearchState();
  const wanted = order(search.sort ?? initial);
  const now = columns.some((c) => c.id === wanted.column) ? wanted : order(initial);
  const column = columns.find((c) => c.id === now.column);
  const shown = useMemo(() => (rows && column ? sorted(rows, column.value, now.down) : []), [rows, column, now.down]);
  return (
    <div className={stale ? "sort-table stale" : "sort-table"} tabIndex={0} role="region" aria-label={caption} aria-busy={rows === undefined}>
      <table>
        <caption className="vh">{caption}</caption>
        <thead>
          <tr>
            {lead && (
              <th scope="col" className="lead">
                <span className="vh">{lead.name}</span>
              </th>
            )}
            {columns.map((c) => {
              const on = c.id === now.column;
              return (
                <th key={c.id} scope="col" className={c.numeric ? "number" : undefined} aria-sort={on ? (now.down ? "descending" : "ascending") : undefined}>
                  <button title={c.title} onClick={() => set({ sort: ordered(now, c.id, c.numeric ?? false) }, true)}>
                    {c.name}
                    <span className={on ? "sort on" : "sort"}>
                      <Icon name={on && !now.down ? "up" : "down"} size={12} />
                    </span>
                  </button>
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {rows === undefined
            ? Array.from({ length: ghosts }, (_, i) => (
                <tr key={i} className="ghost-row" aria-hidden="true">
                  {lead && <td />}
                  {columns.map((c) => (
                    <td key={c.id} className={c.numeric ? "number" : undefined}>
                      <i />
                    </td>
                  ))}
                </tr>
              ))
            : shown.map((row) => {
                const act = onRow?.(row);
                return (
                  <tr key={keyOf(row)} className={act && "clickable"} onClick={act}>
                    {lead && <td className="lead">{lead.cell(row)}</td>}
                    {columns.map((c, i) =>
                      i === 0 ? (
                        <th key={c.id} scope="row">
                          {c.cell(row)}
                        </th>
                      ) : (
                        <td key={c.id} className={c.numeric ? "number" : undefined}>
                          {c.cell(row)}
                        </td>
                      ),
                    )}
                  </tr>
                );
              })}
        </tbody>
      </table>
    </div>
  );
}

/** Share is a part of a whole as a bar; its number stands beside it. */
export function Share({ of, tone }: { of: number | null; tone: string }) {
  return (
    <span className="share" aria-hidden="true">
      <i style={{ width: `${Math.max(of ?? 0, 0) * 100}%`, background: `var(${tone})` }} />
    </span>
  );
}

/** NoRequests stands where a table would, and says what would fill it. */
export function NoRequests({ icon }: { icon: IconName }) {
  const [search, set] = useSearchState();
  if (!filtered(search)) {
    return (
      <Empty icon={icon} title="No requests in this window">
        <button className="link" onClick={() => set({ range: "30d", from: undefined, to: undefined })}>
          Show the last 30 days
        </button>
      </Empty>
    );
  }
  return (
    <Empty icon={icon} title="No request matches these filters">
      <p>Take a filter away:</p>
      <RemoveFilters />
    </Empty>
  );
}
