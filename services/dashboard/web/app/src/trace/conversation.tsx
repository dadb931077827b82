import { useState, type ReactNode } from "react";
import type { TraceDetail } from "../api/client";
import type { Shown, ShownPart, ShownTurn } from "../lib/bodies";
import type { Role } from "../lib/conversation";
import { int } from "../lib/format";
import { Icon, type IconName } from "../ui/icons";
import { Empty } from "../ui/states";
import { ContentState } from "./content-state";
import { MediaChip } from "./media";
import type { Content, Source } from "./payload";
import { Text } from "./text";

const faces: Record<Role, IconName> = { system: "sliders", user: "user", assistant: "spark", tool: "tool", other: "docs" };

/** ConversationTab reads the bodies as a thread, the answer last. */
export function ConversationTab({ trace, content }: { trace: TraceDetail; content: Content }) {
  if (content.state !== "ready") return <ContentState trace={trace} content={content} />;
  const { thread, tools, request, response, source } = content;
  const ending = trace.outcome !== "completed" && (
    <Ending trace={trace} response={response?.text ?? null} answered={(thread?.answer.length ?? 0) > 0} source={source} />
  );
  if (!thread) {
    return (
      <>
        {ending}
        <Empty icon="docs" title="This request does not read as a conversation">
          <p>
            {request?.truncated
              ? "Its recording was cut, so it is no whole JSON. "
              : request?.form === "broken"
                ? "Its body is not valid JSON. "
                : request?.form === "binary"
                  ? "Its body is not text. "
                  : ""}
            The tabs Request and Response have it as it was.
          </p>
        </Empty>
      </>
    );
  }
  return (
    <>
      {ending}
      {tools.length > 0 && (
        <details className="offered">
          <summary>
            <Icon name="tool" size={13} /> {tools.length === 1 ? "1 tool" : `${tools.length} tools`} offered
          </summary>
          <p>
            {tools.map((name, i) => (
              <code key={i}>{name}</code>
            ))}
          </p>
        </details>
      )}
      <Thread thread={thread} source={source} />
    </>
  );
}

function Thread({ thread, source }: { thread: NonNullable<Extract<Content, { state: "ready" }>["thread"]>; source: Source }) {
  const [turns, setTurns] = useState(thread.first);
  const [state, setState] = useState<"still" | "busy" | "failed">("still");
  const { next } = turns;
  const more = async (from: number) => {
    setState("busy");
    try {
      const got = await source.turns(from);
      setTurns((t) => ({ turns: [...t.turns, ...got.turns], next: got.next }));
      setState("still");
    } catch {
      setState("failed");
    }
  };
  return (
    <ol className="thread">
      {turns.turns.map((t, i) => (
        <TurnItem key={i} turn={t} source={source} />
      ))}
      {next !== null && (
        <li className="gap">
          <button className="button" aria-disabled={state === "busy"} onClick={() => state !== "busy" && void more(next)}>
            {state === "busy" ? "Loading" : state === "failed" ? "That failed. Try again" : `Show more of the ${int(thread.turns - next)} turns between`}
          </button>
        </li>
      )}
      {thread.answer.map((t, i) => (
        <TurnItem key={`answer-${i}`} turn={t} source={source} />
      ))}
    </ol>
  );
}

/** Ending says how a trace ended that did not complete. */
function Ending({ trace: t, response, answered, source }: { trace: TraceDetail; response: Shown | null; answered: boolean; source: Source }) {
  const words = {
    completed: "",
    failed: `The request failed${t.http_status ? ` with status ${t.http_status}` : ""}${t.error_class ? `: ${t.error_class}` : ""}.`,
    canceled: "The client went away before the answer was complete.",
    interrupted: `The answer broke off${t.error_class ? `: ${t.error_class}` : ""}.`,
  }[t.outcome];
  return (
    <div className={t.outcome === "canceled" ? "ending off" : "ending"}>
      <b>{words}</b>
      {!answered && response && <Text text={response} source={source} className="json" json />}
    </div>
  );
}

function TurnItem({ turn: t, source }: { turn: ShownTurn; source: Source }) {
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
          <PartView key={i} part={p} source={source} />
        ))}
      </div>
    </li>
  );
}

function PartView({ part: p, source }: { part: ShownPart; source: Source }) {
  switch (p.kind) {
    case "text":
      return <Text text={p.text} source={source} className="words" />;
    case "refusal":
      return <Text text={p.text} source={source} className="words refusal" />;
    case "reasoning":
      return (
        <Fold face={<><Icon name="thought" size={13} /> Reasoning</>}>
          <Text text={p.text} source={source} className="words dim" />
        </Fold>
      );
    case "call":
      return <Call call={p} source={source} />;
    case "media":
      return <MediaChip part={p} source={source} />;
    case "json":
      return <Text text={p.text} source={source} className="json" json />;
  }
}

/** Call is a tool's call with what came of it: both at a glance where they are short, folded where not. */
function Call({ call: c, source }: { call: Extract<ShownPart, { kind: "call" }>; source: Source }) {
  return (
    <Fold
      className="call"
      open={short(c.args)}
      face={
        <>
          <Icon name="tool" size={13} />
          <code>{c.name || "(no name)"}</code>
          {c.result ? <span className="tagged">result</span> : <span className="dim">no result here</span>}
          <span className="mono dim right">{c.id}</span>
        </>
      }
    >
      <Text text={c.args} source={source} className="json" json />
      {c.result && (
        <Fold className="result" open={c.result.every((p) => "text" in p && short(p.text))} face={<>Result of {c.name || "the call"}</>}>
          {c.result.length === 0 && <p className="hint">(empty)</p>}
          {c.result.map((p, i) => (
            <PartView key={i} part={p} source={source} />
          ))}
        </Fold>
      )}
    </Fold>
  );
}

const short = (t: Shown) => t.length < 1200 && t.text.split("\n").length <= 14;

/** Fold draws what is in it only once it was opened. */
function Fold({ face, open: initially = false, className = "", children }: { face: ReactNode; open?: boolean; className?: string; children: ReactNode }) {
  const [open, setOpen] = useState(initially);
  return (
    <details className={`fold ${className}`} open={open} onToggle={(e) => e.target === e.currentTarget && setOpen(e.currentTarget.open)}>
      <summary>{face}</summary>
      {open && children}
    </details>
  );
}
