import { useEffect, useState, type ReactNode } from "react";
import type { TraceDetail } from "../api/client";
import { chunksAtOnce, type Chunk } from "../lib/bodies";
import { bytes, int, ms, unknown } from "../lib/format";
import { Empty } from "../ui/states";
import type { Content, Source } from "./payload";

/** StreamTab is how an answer came over time: it may be long, or it may be slow. */
export function StreamTab({ trace: t, content }: { trace: TraceDetail; content: Content }) {
  if (!t.stream) {
    return (
      <Empty icon="traces" title="This answer was not streamed">
        <p>It came in one piece after {ms(t.latency_ms)}. Requests with “stream: true” have the times of their chunks here.</p>
      </Empty>
    );
  }
  const writing = t.ttft_ms === null ? null : t.latency_ms - t.ttft_ms;
  const speed = writing !== null && writing > 0 && t.tokens_out ? (t.tokens_out / writing) * 1000 : null;
  return (
    <div className="metadata stream">
      <dl className="facts">
        <Fact name="First token">{ms(t.ttft_ms)}</Fact>
        <Fact name="Gap p50">{ms(t.gap_p50_ms)}</Fact>
        <Fact name="Gap p99">{ms(t.gap_p99_ms)}</Fact>
        <Fact name="Chunks">{int(t.chunks)}</Fact>
        <Fact name="Tokens / s">{speed === null ? unknown : speed.toFixed(speed < 10 ? 1 : 0)}</Fact>
      </dl>
      <p className="dim">
        Gaps are the waits between two chunks: half of them were below p50, and one in a hundred above p99. Tokens a second count from
        the first token on.
      </p>
      {content.state === "ready" && content.chunks !== null ? (
        <Chunks total={content.chunks} source={content.source} />
      ) : (
        <p className="dim">The response was recorded as the one answer that its chunks came to, so the chunks themselves are not listed.</p>
      )}
    </div>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Chunks({ total, source }: { total: number; source: Source }) {
  const [chunks, setChunks] = useState<Chunk[]>([]);
  const [asked, setAsked] = useState(0);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    let gone = false;
    source.chunks(asked).then(
      (got) => !gone && setChunks((have) => [...have.slice(0, asked), ...got]),
      () => !gone && setFailed(true),
    );
    return () => void (gone = true);
  }, [asked, source]);
  return (
    <section>
      <h3>Chunks as they were recorded</h3>
      <ol className="chunks">
        {chunks.map((c, i) => (
          <li key={i}>
            <span className="number dim">{int(i + 1)}</span>
            <span className="mono dim">{c.event === "message" ? "data" : c.event}</span>
            <code className="ellipsis">{c.data}</code>
            <span className="number dim">{bytes(c.bytes)}</span>
          </li>
        ))}
      </ol>
      {failed && <p className="caveat">The chunks could not be read.</p>}
      {chunks.length > 0 && chunks.length < total && (
        <button className="button" onClick={() => setAsked(chunks.length)}>
          Show {int(Math.min(chunksAtOnce, total - chunks.length))} more of {int(total)}
        </button>
      )}
    </section>
  );
}
