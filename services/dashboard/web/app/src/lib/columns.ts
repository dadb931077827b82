import { readJSON, write } from "./storage";

/** The columns of the list, in their order; widths are tracks of a grid. */
export const columns = [
  { id: "time", label: "Time", width: "124px" },
  { id: "status", label: "Status", width: "minmax(84px, 0.6fr)" },
  { id: "model", label: "Model", width: "minmax(164px, 1.3fr)" },
  { id: "provider", label: "Provider", width: "minmax(84px, 0.5fr)" },
  { id: "key", label: "Key", width: "minmax(92px, 0.6fr)" },
  { id: "tags", label: "Tags", width: "minmax(84px, 0.8fr)" },
  { id: "session", label: "Session", width: "minmax(96px, 0.6fr)" },
  { id: "tokens", label: "Tokens", width: "106px" },
  { id: "ttft", label: "First token", width: "84px" },
  { id: "latency", label: "Latency", width: "minmax(128px, 0.9fr)" },
  { id: "cost", label: "Cost", width: "76px" },
] as const;

export type ColumnID = (typeof columns)[number]["id"];

const usual: ColumnID[] = ["time", "status", "model", "key", "tags", "tokens", "latency", "cost"];
const gap = 12;
const kept = "loom-columns";

/** chosenColumns are those that someone chose in this browser, in the order of the list; null: nobody did. */
export function chosenColumns(): ColumnID[] | null {
  const raw = readJSON(kept);
  if (!Array.isArray(raw)) return null;
  const chosen = columns.filter((c) => raw.includes(c.id)).map((c) => c.id);
  return chosen.length > 0 ? chosen : null;
}

/** usualColumns are as many of the usual ones as fit, the telling ones first. */
export function usualColumns(width: number): ColumnID[] {
  let fit = usual;
  for (const id of ["tags", "key", "tokens"] as const) if (least(fit) > width) fit = fit.filter((c) => c !== id);
  return fit;
}

/** toggleColumn shows or hides a column; the last one stays. */
export function toggleColumn(chosen: readonly ColumnID[], id: ColumnID): ColumnID[] {
  const next = columns.map((c) => c.id).filter((c) => (c === id ? !chosen.includes(c) : chosen.includes(c)));
  if (next.length === 0) return [...chosen];
  write(kept, JSON.stringify(next));
  return next;
}

/** tracks lays the chosen columns out. */
export const tracks = (chosen: readonly ColumnID[]) => columns.filter((c) => chosen.includes(c.id)).map((c) => c.width).join(" ");

/** least is how narrow they may become before the list scrolls sideways, in pixels. */
export function least(chosen: readonly ColumnID[]): number {
  const gaps = gap * (chosen.length - 1) + 28;
  return columns.filter((c) => chosen.includes(c.id)).reduce((n, c) => n + Number(/(\d+)px/.exec(c.width)?.[1]), gaps);
}
