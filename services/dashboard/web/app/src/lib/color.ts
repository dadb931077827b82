// A series keeps its colour on every page and in every window: it follows from its key.

const hues = 6;

/** slots gives each key a hue from 0 to 5, or -1 (grey) to the sum of the others. */
export function slots(series: readonly { key: string; other: boolean }[]): number[] {
  const taken = new Set<number>();
  const of = new Map<string, number>();
  for (const key of series.filter((s) => !s.other).map((s) => s.key).sort()) {
    let slot = hash(key) % hues;
    for (let i = 0; taken.has(slot) && i < hues; i++) slot = (slot + 1) % hues;
    taken.add(slot);
    of.set(key, slot);
  }
  return series.map((s) => (s.other ? -1 : (of.get(s.key) ?? -1)));
}

/** FNV-1a. */
function hash(s: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < s.length; i++) h = Math.imul(h ^ s.charCodeAt(i), 0x01000193);
  return h >>> 0;
}
