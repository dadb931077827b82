/** Which column a table is sorted by; in the URL as "cost" or, the largest first, "-cost". */
export interface Order {
  column: string;
  down: boolean;
}

type Value = number | string | null;

export const order = (text: string): Order => (text.startsWith("-") ? { column: text.slice(1), down: true } : { column: text, down: false });

/** ordered writes what the URL has for the next click on a column: numbers begin with the largest. */
export function ordered(now: Order, column: string, numeric: boolean): string {
  const down = now.column === column ? !now.down : numeric;
  return down ? "-" + column : column;
}

/** sorted orders rows by what value says of them. What is not known comes last, either way; equals stay as they were. */
export function sorted<T>(rows: readonly T[], value: (row: T) => Value, down: boolean): T[] {
  return rows
    .map((row) => ({ row, v: value(row) }))
    .sort((a, b) => {
      if (a.v === null || b.v === null) return a.v === b.v ? 0 : a.v === null ? 1 : -1;
      const by = typeof a.v === "string" || typeof b.v === "string" ? text.compare(String(a.v), String(b.v)) : a.v - b.v;
      return down ? -by : by;
    })
    .map(({ row }) => row);
}

const text = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
