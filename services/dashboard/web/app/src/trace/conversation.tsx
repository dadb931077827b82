import { useMemo } from "react";
import type { TraceDetail } from "../api/client";
import { conversation, toolNames, type Part, type Role, type Turn } from "../lib/conversation";
import { bytes } from "../lib/format";
import { Icon, type IconName } from "../ui/icons";
import { Empty } from "../ui/states";
import { ContentState } from "./content-state";
import type { Bodies } from "./payload";
import { Bounded, Json } from "./text";

const faces: Record<Role, IconName> = { system: "sliders", user: "user", assistant: "spark", tool: "tool", other: "docs" };

/** ConversationTab reads the bodies as a thread, the answer last. */
export function ConversationTab({ trace, content }: { trace: TraceDetail; content: Bodies }) {
  const request = content.state === "ready" ? (content.request?.text ?? null) : null;
  const response = content.state === "ready" ? (content.response?.text ?? null) : null;
  const turns = useMemo(() => conversation(request, response), [request, response]);
  const offered = useMemo(() => toolNames(request), [request]);
  if (content.state !== "ready") return <ContentState trace={trace} content={content} />;
  if (!turns) {
    return (
      <Empty icon="docs" title="This request does not read as a conversation">
        <p>{content.request?.truncated ? "Its recording was cut. " : ""}The tabs Request and Response have it as it was.</p>
      </Empty>
    );
  }
  return (
    <>
      {trace.outcome !== "completed" && <Ending trace={trace} response={response} answered={turns.some((t) => t.answer)} />}
      {offered.length > 0 && (
        <details className="offered">
          <summary>
            <Icon name="tool" size={13} /> {offered.length === 1 ? "1 tool" : `${offered.length} tools`} offered
          </summary>
          <p>
            {offered.map((name, i) => (
              <code key={i}>{name}</code>
            ))}
          </p>
        </details>
      )}
      <ol className="thread">
        {turns.map((t, i) => (
          <TurnItem key={i} turn={t} />
        ))}
      </ol>
    </>
  );
}

/** Ending says how a trace ended that did not complete. */
function Ending({ trace: t, response, answered }: { trace: TraceDetail; response: string | null; answered: boolean }) {
  const words = {
    completed: "",
    failed: `The request failed${t.http_status ? ` with status ${t.http_status}` : ""}${t.error_class ? `: ${t.error_class}` : ""}.`,
    canceled: "The client went away before the answer was complete.",
    interrupted: `The answer broke off${t.error_class ? `: ${t.error_class}` : ""}.`,
  }[t.outcome];
  return (
    <div className={t.outcome === "canceled" ? "ending off" : "ending"}>
      <b>{words}</b>
      {!answered && response && <Json text={response} />}
    </div>
  );
}

function TurnItem({ turn: t }: { turn: Turn }) {
  return (
    <li className={`turn ${t.role}${t.answer ? " answer" : ""}`}>
      <span className="face">
        <Icon name={faces[t.role]} size={14} />
      </span>
      <div className="said">
        <div className="who">
          <h3>{t.label}</h3>
          {t.callName && <code>{t.callName}</code>}
          {t.answer && <span className="tagged">answer</span>}
          {t.finish && t.finish !== "stop" && t.finish !== "completed" && <span className="tagged warn">{t.finish}</span>}
          {t.callID && <span className="mono dim right">{t.callID}</span>}
        </div>
        {t.parts.length === 0 && <p className="dim">(empty)</p>}
        {t.parts.map((p, i) => (
          <PartView key={i} part={p} data={t.role === "tool"} />
        ))}
      </div>
    </li>
  );
}

function PartView({ part: p, data }: { part: Part; data: boolean }) {
  switch (p.kind) {
    case "text":
      return data ? <Json text={p.text} /> : <Bounded text={p.text} className="words" />;
    case "refusal":
      return <Bounded text={p.text} className="words refusal" />;
    case "reasoning":
      return (
        <details className="fold">
          <summary>
            <Icon name="thought" size={13} /> Reasoning
          </summary>
          <Bounded text={p.text} className="words dim" />
        </details>
      );
    case "call":
      return (
        <details className="fold call" open>
          <summary>
            <Icon name="tool" size={13} />
            <code>{p.name || "(no name)"}</code>
            <span className="mono dim right">{p.id}</span>
          </summary>
          <Json text={p.args} />
        </details>
      );
    case "media":
      return (
        <span className="media">
          <Icon name="image" size={14} /> {p.label}, {bytes(p.bytes)}
        </span>
      );
    case "json":
      return <Json text={JSON.stringify(p.value)} />;
  }
}
