import type { ReactNode } from "react";
import type { TraceDetail } from "../api/client";
import { bytes, exactTime, int, ms, unknown } from "../lib/format";
import { added, nameable } from "../lib/search";
import { useNarrow, useSearchState } from "../route";
import { Json } from "./text";

/** MetadataTab is everything that is known of a trace without opening its bodies. */
export function MetadataTab({ trace: t }: { trace: TraceDetail }) {
  const u = t.usage;
  const [search] = useSearchState();
  const narrow = useNarrow();
  return (
    <div className="metadata">
      <Section title="Request">
        <Entry name="Model asked for">{t.model_requested}</Entry>
        <Entry name="Model sent">{t.model_upstream}</Entry>
        <Entry name="Model answered">{t.model_answered}</Entry>
        <Entry name="Route">{t.route}</Entry>
        <Entry name="Provider">{t.provider && `${t.provider} (${t.provider_kind})`}</Entry>
        <Entry name="Endpoint">{t.endpoint}</Entry>
        <Entry name="Streamed">{t.stream ? "yes" : "no"}</Entry>
        <Entry name="Key">{t.key_name ? `${t.key_name} (${t.key_id})` : t.key_id}</Entry>
        <Entry name="End user">{t.end_user}</Entry>
        <Entry name="Session">
          {t.session_id && (
            <button className="quiet" onClick={() => narrow(added(search, "session", t.session_id))} title="Show only this session">
              {t.session_id}
            </button>
          )}
        </Entry>
        <Entry name="Service tier">{t.service_tier}</Entry>
        <Entry name="Region">{t.region}</Entry>
        <Entry name="Tags">
          {Object.entries(t.tags).map(([k, v]) => (
            <button
              key={k}
              className="tag"
              disabled={!nameable(k)}
              onClick={() => narrow(added(search, "tag", `${k}:${v}`))}
              title="Show only this tag"
            >
              {k}:{v}
            </button>
          ))}
        </Entry>
      </Section>
      <Section title="Answer">
        <Entry name="Outcome">{t.outcome}</Entry>
        <Entry name="HTTP status">{t.http_status || unknown}</Entry>
        <Entry name="Error">{t.error_class}</Entry>
        <Entry name="Finish reasons">{t.finish_reasons.join(", ")}</Entry>
        <Entry name="Tools called">{t.tool_names.join(", ")}</Entry>
        <Entry name="Request size">{bytes(t.request_bytes)}</Entry>
        <Entry name="Response size">{bytes(t.response_bytes)}</Entry>
        <Entry name="Chunks">{t.stream ? int(t.chunks) : null}</Entry>
        <Entry name="Gap between chunks">{t.gap_p50_ms !== null && `p50 ${ms(t.gap_p50_ms)}, p99 ${ms(t.gap_p99_ms)}`}</Entry>
      </Section>
      <Section title="Usage and cost">
        <Entry name="Input, not cached">{u && int(u.input_uncached)}</Entry>
        <Entry name="Read from cache">{u && int(u.cache_read)}</Entry>
        <Entry name="Written to cache">{u && (u.cache_write || u.cache_write_1h) ? `${int(u.cache_write)} + ${int(u.cache_write_1h)} for 1 h` : null}</Entry>
        <Entry name="Output">{u && int(u.output)}</Entry>
        <Entry name="of it reasoning">{u && u.reasoning > 0 && int(u.reasoning)}</Entry>
        <Entry name="Counted by">{t.usage_source}</Entry>
        <Entry name="Cost">{t.cost_usd === null ? `${unknown} (${t.cost_status.replace("_", " ")})` : `$${t.cost_usd}`}</Entry>
        <Entry name="Why it is not priced">{t.unpriced_why?.replace("_", " ")}</Entry>
        <Entry name="Price version">{t.price_version}</Entry>
      </Section>
      <Section title="Record">
        <Entry name="Started">{exactTime(t.started_at)}</Entry>
        <Entry name="Recorded">{exactTime(t.recorded_at)}</Entry>
        <Entry name="Content mode">{t.content_mode}</Entry>
        <Entry name="Gateway">{`${t.producer.id}, epoch ${t.producer.epoch}, event ${t.producer.seq}`}</Entry>
      </Section>
      {t.usage_raw != null && (
        <section>
          <h3>Usage as the provider wrote it</h3>
          <Json value={t.usage_raw} />
        </section>
      )}
    </div>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section>
      <h3>{title}</h3>
      <dl>{children}</dl>
    </section>
  );
}

/** Entry is left out where there is nothing to say. */
function Entry({ name, children }: { name: string; children: ReactNode }) {
  if (!children || (Array.isArray(children) && children.length === 0)) return null;
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
