import type { TraceDetail } from "../api/client";
import { ms } from "../lib/format";

/** Attempts draws each call of a provider on the trace's own time: the wait for a first token, and the rest. */
export function Attempts({ trace: t }: { trace: TraceDetail }) {
  const calls = t.attempts_detail;
  const end = Math.max(t.latency_ms, ...calls.map((a) => a.start_ms + a.duration_ms), 1);
  const at = (n: number) => `${((n / end) * 100).toFixed(2)}%`;
  if (calls.length === 0) return null;
  return (
    <ol className="attempts" aria-label="Attempts">
      {calls.map((a, i) => {
        const ok = a.status >= 200 && a.status < 400 && a.error_class === "";
        // Only the last call can have given the trace its first token.
        const first = ok && i === calls.length - 1 && t.ttft_ms !== null ? Math.min(Math.max(t.ttft_ms - a.start_ms, 0), a.duration_ms) : 0;
        return (
          <li key={i}>
            <span className="ellipsis name" title={`${a.provider} · ${a.model}`}>
              {a.provider}
            </span>
            <span className={ok ? "status ok" : "status bad"} title={a.error_class || undefined}>
              <i />
              {a.status > 0 ? a.status : "none"}
            </span>
            <span className="track">
              <i className={ok ? "first" : "fault"} style={{ left: at(a.start_ms), width: at(ok ? first : a.duration_ms) }} />
              {ok && <i className="rest" style={{ left: at(a.start_ms + first), width: at(a.duration_ms - first) }} />}
            </span>
            <span className="number">{ms(a.duration_ms)}</span>
            {a.error_class && <span className="why">{a.error_class}</span>}
          </li>
        );
      })}
    </ol>
  );
}
