import { defaultRange, presets, type Preset, type Search } from "./search";

/** Two instants in RFC 3339; everything on a page asks for the same two. */
export interface Window {
  from: string;
  to: string;
  /** The preset it came from, or null where the URL names the instants. */
  preset: Preset | null;
}

const length: Record<Preset, number> = {
  "15m": 15 * 60_000,
  "1h": 3_600_000,
  "6h": 6 * 3_600_000,
  "24h": 24 * 3_600_000,
  "7d": 7 * 86_400_000,
  "30d": 30 * 86_400_000,
};

/** resolve turns the URL's range into instants; now is milliseconds. */
export function resolve(s: Pick<Search, "range" | "from" | "to">, now: number): Window {
  if (s.from && s.to) return { from: s.from, to: s.to, preset: null };
  const preset = s.range ?? defaultRange;
  return { from: new Date(now - length[preset]).toISOString(), to: new Date(now).toISOString(), preset };
}

/** refreshEvery is how often a relative window moves on, in milliseconds. */
export function refreshEvery(preset: Preset): number {
  return presets.indexOf(preset) < presets.indexOf("7d") ? 15_000 : 60_000;
}

/** zoomed makes a window of whole seconds (Unix) that a drag chose; at least a minute, as the statistics go by minutes. */
export function zoomed(from: number, to: number): { from: string; to: string } {
  const start = Math.floor(from / 60) * 60;
  const end = Math.max(Math.ceil(to / 60) * 60, start + 60);
  return { from: new Date(start * 1000).toISOString(), to: new Date(end * 1000).toISOString() };
}

/** How far numbers may lie behind before people are told, in milliseconds. */
export const staleAfter = 120_000;

/** lag is how long ago it is that the numbers were complete, in milliseconds; null: nobody knows. */
export function lag(freshTo: string | null | undefined, now: number): number | null {
  if (!freshTo) return null;
  const at = Date.parse(freshTo);
  return Number.isNaN(at) ? null : Math.max(0, now - at);
}

/** chosen reads two local times of a form; null where they make no window. */
export function chosen(from: string, to: string): { from: string; to: string } | null {
  const start = Date.parse(from);
  const end = Date.parse(to);
  if (Number.isNaN(start) || Number.isNaN(end) || start >= end || end - start > 366 * 86_400_000) return null;
  return { from: new Date(start).toISOString(), to: new Date(end).toISOString() };
}

/** localTime writes an instant as a form's field takes it, to the minute. */
export function localTime(at: string): string {
  const d = new Date(at);
  return new Date(d.getTime() - d.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
