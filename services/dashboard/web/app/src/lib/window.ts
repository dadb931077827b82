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
