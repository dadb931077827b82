// How numbers, money and times are written. Unknown is always "–", never zero.

export const unknown = "–";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const short2 = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 2 });
const short1 = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

export const int = (n: number | null | undefined) => (n == null ? unknown : whole.format(n));

/** 1.79K, 25.2M. */
export function compact(n: number | null | undefined): string {
  if (n == null) return unknown;
  return (n >= 1e5 ? short1 : short2).format(n);
}

/** US dollars: 2 decimals from $1, 3 from 1 ¢, else 5. Takes the API's decimal text too. */
export function usd(value: number | string | null | undefined): string {
  if (value == null || value === "") return unknown;
  const n = Number(value);
  if (!Number.isFinite(n)) return unknown;
  const abs = Math.abs(n);
  if (abs === 0) return "$0.00";
  if (abs < 0.000005) return "< $0.00001";
  if (abs >= 1) return "$" + n.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  return "$" + n.toFixed(abs >= 0.01 ? 3 : 5);
}

/** usd for an axis: as short as it can be. */
export function usdTick(n: number): string {
  if (n >= 1000) return "$" + compact(n);
  return "$" + Number(n.toPrecision(3));
}

/** Milliseconds below 1 s, then seconds. */
export function ms(n: number | null | undefined): string {
  if (n == null) return unknown;
  if (n < 1) return n === 0 ? "0 ms" : "< 1 ms";
  if (n < 999.5) return `${Math.round(n)} ms`;
  if (n < 9995) return `${(n / 1000).toFixed(2)} s`;
  if (n < 119_500) return `${(n / 1000).toFixed(1)} s`;
  return `${Math.floor(n / 60_000)} min ${Math.round((n % 60_000) / 1000)} s`;
}

export function msTick(n: number): string {
  if (n === 0) return "0";
  return n < 1000 ? `${Number(n.toPrecision(3))} ms` : `${Number((n / 1000).toPrecision(3))} s`;
}

/** A share of 1 as per cent. */
export const percent = (n: number | null | undefined) => (n == null ? unknown : `${(n * 100).toFixed(2)}%`);

export function bytes(n: number | null | undefined): string {
  if (n == null) return unknown;
  if (n < 1000) return `${n} B`;
  if (n < 999_500) return `${Number((n / 1000).toPrecision(3))} kB`;
  if (n < 999_500_000) return `${Number((n / 1e6).toPrecision(3))} MB`;
  return `${Number((n / 1e9).toPrecision(3))} GB`;
}

const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minute = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const date = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short" });
const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });

type Instant = string | number; // RFC 3339 or milliseconds

export const clock = (at: Instant) => time.format(new Date(at));
export const hourMinute = (at: Instant) => minute.format(new Date(at));
export const day = (at: Instant) => date.format(new Date(at));
/** Local time with its zone, for a tooltip. */
export const exactTime = (at: Instant) => full.format(new Date(at));

/** An interval of an axis or a window, with the day where it is not within one. */
export function interval(from: number, to: number, within?: boolean): string {
  if (within ?? day(from) === day(to)) return `${hourMinute(from)} – ${hourMinute(to)}`;
  if (day(from) === day(to)) return `${day(from)} ${hourMinute(from)} – ${hourMinute(to)}`;
  return `${day(from)} ${hourMinute(from)} – ${day(to)} ${hourMinute(to)}`;
}

/** The relative change, or null where there is nothing to compare with. */
export function change(value: number | null | undefined, previous: number | null | undefined): number | null {
  if (value == null || previous == null || previous === 0) return null;
  return (value - previous) / previous;
}

/** ago is a span in the words of a badge: 12 s, 3 min, 2 h. */
export function ago(span: number): string {
  const s = Math.round(span / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172_800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} days`;
}
