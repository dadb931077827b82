import type { Trace } from "../api/client";
import { ms, unknown, usd } from "../lib/format";

/** Status is how a trace ended: shape and words, never colour alone. */
export function Status({ trace: t }: { trace: Trace }) {
  if (t.outcome === "completed") {
    return (
      <span className="status ok">
        <i />
        {t.http_status}
      </span>
    );
  }
  const words = t.outcome === "failed" ? t.error_class || "failed" : t.outcome;
  return (
    <span className={t.outcome === "canceled" ? "status off" : "status bad"} title={words}>
      <i />
      {t.http_status > 0 && t.outcome === "failed" ? t.http_status : ""}
      <span className="ellipsis">{words}</span>
    </span>
  );
}

/** Cost in words of what is known: pending and unknown are not zero. */
export function Cost({ trace: t }: { trace: Trace }) {
  switch (t.cost_status) {
    case "pending":
      return (
        <span className="dim" title="Not accounted yet">
          …
        </span>
      );
    case "priced":
      return <span title={t.cost_usd ? `$${t.cost_usd}` : undefined}>{usd(t.cost_usd)}</span>;
    default:
      return (
        <span className="dim" title={t.cost_status === "unpriced" ? "No price is known for this model" : "The provider reported no usage"}>
          {unknown}
        </span>
      );
  }
}

/** LatencyBar shows the time to the first token and the rest, on a scale that the rows share. */
export function LatencyBar({ trace: t, longest }: { trace: Trace; longest: number }) {
  const share = (n: number) => Math.min(1, n / longest) * 100;
  const first = share(t.ttft_ms ?? 0);
  const all = Math.max(share(t.latency_ms), 1.5);
  return (
    <span className="bar" title={t.ttft_ms === null ? undefined : `first token after ${ms(t.ttft_ms)}`} aria-hidden="true">
      <i className="first" style={{ width: `${first}%` }} />
      <i className="rest" style={{ left: `${first}%`, width: `${Math.max(0, all - first)}%` }} />
    </span>
  );
}

export function Provider({ name }: { name: string }) {
  return (
    <span className="provider" title={name} aria-hidden="true">
      {(name || "?").slice(0, 1).toUpperCase()}
    </span>
  );
}
