interface Page<T> {
  items: T[];
}

/** Flat is a list's pages as rows, each once. It grows: an older Flat of the same list shares its rows. */
export interface Flat<T> {
  pages: readonly Page<T>[];
  rows: T[];
  /** Where a row is, by its id. */
  index: Map<string, number>;
}

export const nothing: Flat<never> = { pages: [], rows: [], index: new Map() };

/** flatten adds only what is new to what was flattened before, where that is the same list. */
export function flatten<T extends { id: string }>(pages: readonly Page<T>[], before: Flat<T>): Flat<T> {
  const had = before.pages.length;
  if (pages.length === had && pages[had - 1] === before.pages[had - 1]) return before;
  const grows = had > 0 && had < pages.length && pages[0] === before.pages[0] && pages[had - 1] === before.pages[had - 1];
  const rows = grows ? before.rows : [];
  const index = grows ? before.index : new Map<string, number>();
  for (const page of grows ? pages.slice(had) : pages) {
    for (const row of page.items) {
      if (index.has(row.id)) continue;
      index.set(row.id, rows.length);
      rows.push(row);
    }
  }
  return { pages, rows, index };
}
