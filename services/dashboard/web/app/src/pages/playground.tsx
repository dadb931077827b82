import { PasswordInput, SegmentedControl } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { ApiError, basePath } from "../api/client";
import { models } from "../api/pages";
import { header, trace } from "../api/queries";
import { answer, piece, refusal } from "../lib/completion";
import { curl } from "../lib/curl";
import { events } from "../lib/event-stream";
import { int, ms } from "../lib/format";
import { useKeys } from "../keys";
import { useSearchState } from "../route";
import { useSession } from "../session";
import { CopyButton } from "../ui/copy";
import { Icon } from "../ui/icons";
import { Empty } from "../ui/states";
import { TopBar } from "../ui/topbar";
import { useWindow } from "../window";
import "../styles/reports.css";

const TracePanel = lazy(() => import("../trace/panel").then((m) => ({ default: m.TracePanel })));

interface Draft {
  model: string;
  system: string;
  user: string;
  temperature: string;
  maxTokens: string;
  stream: boolean;
}

const blank: Draft = { model: "", system: "", user: "", temperature: "", maxTokens: "", stream: true };

/** body is the request that a draft stands for. */
function body(d: Draft): string {
  const messages = [...(d.system.trim() ? [{ role: "system", content: d.system }] : []), { role: "user", content: d.user }];
  return JSON.stringify({
    model: d.model.trim(),
    messages,
    ...(d.temperature !== "" && { temperature: Number(d.temperature) }),
    ...(d.maxTokens !== "" && { max_tokens: Number(d.maxTokens) }),
    ...(d.stream && { stream: true }),
  });
}

/** Playground sends one request through the gateway and shows its answer, and then its trace. */
export function Playground() {
  const { me } = useSession();
  const { scope } = useWindow();
  const [search, set] = useSearchState();
  const [draft, setDraft] = useState(blank);
  const [key, setKey] = useState("");
  const { run, send, stop } = useRun();
  const known = useQuery(models({ ...scope, filters: {} }));
  const names = [...new Set((known.data?.rows ?? []).map((r) => r.model).filter((m) => m !== ""))];
  const edit = (patch: Partial<Draft>) => setDraft({ ...draft, ...patch });
  const missing = draft.model.trim() === "" ? "Name a model" : draft.user.trim() === "" ? "Write a message" : key.trim() === "" ? "Paste a key" : undefined;
  const close = () => set({ trace: undefined, tab: undefined });
  useKeys({ Escape: () => search.trace !== undefined && close() });
  return (
    <div className="page">
      <TopBar title="Playground" windowed={false} />
      <div className="bench">
        <form
          className="card ask"
          onSubmit={(e) => {
            e.preventDefault();
            if (missing === undefined && run.state !== "running") void send(body(draft), key.trim());
          }}
        >
          <h2>Request</h2>
          <label>
            Model
            <input className="field" list="known-models" value={draft.model} onChange={(e) => edit({ model: e.currentTarget.value })} placeholder="such as loom-demo" spellCheck={false} maxLength={512} autoComplete="off" />
          </label>
          <datalist id="known-models">
            {names.map((n) => (
              <option key={n} value={n} />
            ))}
          </datalist>
          <label>
            <span>
              System message <span className="dim">optional</span>
            </span>
            <textarea className="field" rows={3} value={draft.system} onChange={(e) => edit({ system: e.currentTarget.value })} />
          </label>
          <label>
            User message
            <textarea
              className="field"
              rows={6}
              value={draft.user}
              onChange={(e) => edit({ user: e.currentTarget.value })}
              onKeyDown={(e) => {
                if (e.key === "Enter" && (e.metaKey || e.ctrlKey)) e.currentTarget.form?.requestSubmit();
              }}
            />
          </label>
          <div className="options-row">
            <label>
              <span>
                Temperature <span className="dim">optional</span>
              </span>
              <input className="field" type="number" min={0} max={2} step="any" value={draft.temperature} onChange={(e) => edit({ temperature: e.currentTarget.value })} />
            </label>
            <label>
              <span>
                Tokens at most <span className="dim">optional</span>
              </span>
              <input className="field" type="number" min={1} step={1} value={draft.maxTokens} onChange={(e) => edit({ maxTokens: e.currentTarget.value })} />
            </label>
            <div className="labelled">
              <span aria-hidden="true">Answer</span>
              <SegmentedControl
                size="xs"
                aria-label="Answer"
                value={draft.stream ? "stream" : "whole"}
                onChange={(v) => edit({ stream: v === "stream" })}
                data={[
                  { value: "stream", label: "streamed" },
                  { value: "whole", label: "at once" },
                ]}
              />
            </div>
          </div>
          <PasswordInput
            label="API key"
            description="With the scope chat. Its tenant pays. It stays in this page's memory and is gone when you leave."
            placeholder="loom_sk_…"
            value={key}
            onChange={(e) => setKey(e.currentTarget.value)}
            autoComplete="off"
            spellCheck={false}
            visibilityToggleButtonProps={{ "aria-label": "Show the key" }}
          />
          <div className="actions">
            {/* Two keys: a button that became the other one under the pointer would send again. */}
            {run.state === "running" ? (
              <button key="stop" className="button primary" type="button" onClick={stop}>
                <Icon name="stop" size={14} /> Stop
              </button>
            ) : (
              <button key="send" className="button primary" disabled={missing !== undefined} title={missing}>
                <Icon name="play" size={14} /> Send
              </button>
            )}
            <CopyButton text={curl({ gatewayURL: me.gateway_url, endpoint: "chat.completions", body: body(draft) })} label="Copy as cURL" />
            <span className="grow" />
            <span className="hints">
              <kbd>Ctrl</kbd> <kbd>Enter</kbd> send
            </span>
          </div>
        </form>
        <Answer run={run} />
      </div>
      {search.trace && (
        <Suspense>
          <TracePanel id={search.trace} onClose={close} onStep={undefined} />
        </Suspense>
      )}
    </div>
  );
}

interface Run {
  state: "idle" | "running" | "done" | "stopped" | "failed";
  text: string;
  thought: string;
  /** More came than is shown. */
  cut: boolean;
  error?: string;
  status?: number;
  finish?: string;
  usage?: { tokensIn: number; tokensOut: number };
  first?: number;
  total?: number;
  traceID?: string;
}

const idle: Run = { state: "idle", text: "", thought: "", cut: false };
const longest = 200_000; // characters of an answer that are shown

/** useRun makes one request at a time, and draws its answer once a frame at most. */
function useRun() {
  const { header: tenant } = useSession();
  const queries = useQueryClient();
  const [run, setRun] = useState(idle);
  const going = useRef<AbortController>(undefined);
  useEffect(() => () => going.current?.abort(), []);

  const send = async (request: string, key: string) => {
    const stopped = new AbortController();
    going.current?.abort();
    going.current = stopped;
    const began = performance.now();
    let now: Run = { ...idle, state: "running" };
    let frame = 0;
    const draw = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        setRun(now);
      });
    };
    const take = (p: ReturnType<typeof answer>) => {
      const { text = "", thought = "", error, ...rest } = p;
      const all = now.text + text;
      const room = longest - now.thought.length;
      now = {
        ...now,
        ...rest,
        text: all.slice(0, longest),
        thought: now.thought + thought.slice(0, Math.max(0, room)),
        cut: now.cut || all.length > longest || thought.length > room,
        first: now.first ?? (text || thought ? performance.now() - began : undefined),
        ...(error !== undefined && { error, state: "failed" as const }),
      };
      draw();
    };
    const end = (patch: Partial<Run>) => {
      if (going.current !== stopped) return; // another one has begun, or the page is gone
      cancelAnimationFrame(frame);
      setRun({ ...now, total: performance.now() - began, ...patch });
    };
    setRun(now);
    try {
      const res = await fetch(`${basePath}/api/v1/playground/chat/completions`, {
        method: "POST",
        headers: { ...(header(tenant) as Record<string, string>), "Content-Type": "application/json", "X-Loom-Key": key },
        body: request,
        credentials: "same-origin",
        signal: stopped.signal,
      });
      now = { ...now, status: res.status, traceID: res.headers.get("X-Loom-Trace-Id") ?? undefined };
      if (!res.ok || !res.body) {
        if (res.status === 401 && now.traceID === undefined) void queries.invalidateQueries({ queryKey: ["me"] }); // the session may have ended
        return end({ state: "failed", error: refusal(res.status, await res.text()) });
      }
      if (!res.headers.get("Content-Type")?.startsWith("text/event-stream")) {
        take(answer(await res.text()));
        return end({ state: now.error === undefined ? "done" : "failed" });
      }
      let whole = false;
      for await (const e of events(res.body)) {
        const p = piece(e.data);
        if (p) take(p);
        else whole = true;
        if (whole || now.error !== undefined) break;
      }
      if (now.error === undefined && !whole) return end({ state: "failed", error: "The answer ended before it was complete." });
      end({ state: now.error === undefined ? "done" : "failed" });
    } catch {
      if (stopped.signal.aborted) end({ state: "stopped" });
      else end({ state: "failed", error: now.status === undefined ? "The dashboard service does not answer. Is it running?" : "The connection was lost." });
    }
  };
  return { run, send, stop: () => going.current?.abort() };
}

function Answer({ run }: { run: Run }) {
  const { state } = run;
  return (
    <section className="card answer-card" aria-label="Answer" aria-busy={state === "running"}>
      <div className="card-head">
        <h2>Answer</h2>
        {run.traceID && state !== "running" && <OpenTrace key={run.traceID} id={run.traceID} />}
      </div>
      {state === "idle" ? (
        <Empty icon="spark" title="Nothing sent yet">
          <p>The answer comes up here as it arrives, with its times. Its trace is recorded as that of any other request.</p>
        </Empty>
      ) : (
        <>
          <dl className="facts">
            <Fact name="Status">
              <span role="status">{words[state]}</span>
            </Fact>
            <Fact name="First token">{ms(run.first)}</Fact>
            <Fact name="Total">{ms(run.total)}</Fact>
            <Fact name="Tokens in">{int(run.usage?.tokensIn)}</Fact>
            <Fact name="Tokens out">{int(run.usage?.tokensOut)}</Fact>
          </dl>
          {run.thought !== "" && (
            <details className="fold">
              <summary>
                <Icon name="thought" size={14} /> Thoughts
              </summary>
              <div className="words">{run.thought}</div>
            </details>
          )}
          {run.text !== "" && (
            <div className="words said-words" tabIndex={0} role="region" aria-label="Text of the answer">
              {run.text}
            </div>
          )}
          {run.text === "" && state === "running" && <p className="hint">Waiting for the first token…</p>}
          {run.text === "" && state === "done" && <p className="hint">The answer has no text{run.finish && `; it ended with “${run.finish}”`}. Its trace has all of it.</p>}
          {run.cut && <p className="hint">The rest is not shown here. The trace has all of it.</p>}
          {run.error !== undefined && (
            <div className="failure" role="alert">
              <Icon name="alert" />
              <div>
                <b>{run.status !== undefined && run.status >= 400 ? `Refused with status ${run.status}` : "It failed on the way"}</b>
                <p>{run.error}</p>
              </div>
            </div>
          )}
        </>
      )}
    </section>
  );
}

const words = { idle: "", running: "Running", done: "Complete", stopped: "Stopped", failed: "Failed" };

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

const patience = 20; // tries, a second apart

/** OpenTrace waits until the trace is recorded and opens it. */
function OpenTrace({ id }: { id: string }) {
  const { header: tenant } = useSession();
  const [search, set] = useSearchState();
  const [wanted, setWanted] = useState(false);
  const q = useQuery({
    ...trace(tenant, id),
    enabled: wanted,
    retry: (n, e) => n < patience && e instanceof ApiError && e.status === 404,
    retryDelay: 1_000,
  });
  const here = q.data !== undefined;
  useEffect(() => {
    if (!wanted || !here) return;
    setWanted(false);
    set({ trace: id });
  }, [wanted, here, id, set]);
  if (wanted && q.error) {
    return (
      <span className="dim" role="status">
        {q.error instanceof ApiError && q.error.status === 404 ? "Not recorded for this tenant: the key may be another one's." : q.error.message}{" "}
        <button className="link" onClick={() => void q.refetch()}>
          Look again
        </button>
      </span>
    );
  }
  return (
    <button className="button" onClick={() => (here ? set({ trace: id }) : setWanted(true))} disabled={wanted || search.trace === id}>
      <Icon name="traces" size={14} /> {wanted ? "Waiting for the trace…" : "Open trace"}
    </button>
  );
}
