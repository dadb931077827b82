import { Skeleton, Tabs } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode, RefObject } from "react";
import { ApiError } from "../api/client";
import { trace } from "../api/queries";
import { curl } from "../lib/curl";
import { clock, day, exactTime, int, ms } from "../lib/format";
import type { Tab } from "../lib/search";
import { useNarrow, useSearchState } from "../route";
import { useSession } from "../session";
import { CopyButton, CopyIcon } from "../ui/copy";
import { Icon } from "../ui/icons";
import { Empty, Failure } from "../ui/states";
import { Cost, Status } from "../ui/trace-bits";
import { Attempts } from "./attempts";
import { BodyTab, saveRequest } from "./body";
import { ConversationTab } from "./conversation";
import { MetadataTab } from "./metadata";
import { contentOf, payload, type Content } from "./payload";
import { StreamTab } from "./stream";

interface Props {
  id: string;
  controls?: ReactNode;
  heading?: RefObject<HTMLHeadingElement | null>;
}

const settle = 200; // ms: stepping through a list does not decrypt each trace on the way

/** TraceView is one trace: what it was, where its time went, and its bodies. */
export function TraceView({ id, controls, heading }: Props) {
  const { me, header, canDecrypt } = useSession();
  const [search, set] = useSearchState();
  const narrow = useNarrow();
  const q = useQuery(trace(header, id));
  const [settled] = useDebouncedValue(id, settle);
  const available = q.data?.payload_state === "available";
  const p = useQuery({ ...payload(header, id), enabled: available && canDecrypt && settled === id });
  const t = q.data;
  const content = contentOf(t?.payload_state, canDecrypt, p);

  if (q.error && !t) {
    const gone = q.error instanceof ApiError && (q.error.status === 404 || q.error.code === "invalid_parameter");
    return (
      <>
        <div className="trace-head">
          <Title id={id} heading={heading} controls={controls} />
        </div>
        {gone ? (
          <Empty icon="traces" title="There is no such trace">
            <p>It may not be recorded yet, belong to another tenant, or be gone since the retention of its tenant ended.</p>
            <button className="link" onClick={() => void q.refetch()}>
              Look again
            </button>
          </Empty>
        ) : (
          <Failure what="This trace could not be loaded." error={q.error} retry={() => void q.refetch()} />
        )}
      </>
    );
  }
  return (
    <>
      <div className="trace-head">
        <Title id={id} heading={heading} controls={controls} command={t && <Command content={content} gatewayURL={me.gateway_url} endpoint={t.endpoint} />} />
        {t ? (
          <>
            <div className="trace-line">
              <Status trace={t} />
              <button className="quiet-strong" onClick={() => narrow({ model: [t.model] })} title="Show only this model">
                {t.model}
              </button>
              <span className="dim">
                via{" "}
                <button className="quiet" onClick={() => narrow({ provider: [t.provider] })} title="Show only this provider">
                  {t.provider}
                </button>
              </span>
              <span className="dim" title={exactTime(t.started_at)}>
                {day(t.started_at)} {clock(t.started_at)}
              </span>
              <span className="grow" />
              <Access content={content} />
            </div>
            <dl className="facts">
              <Fact name="Latency">{ms(t.latency_ms)}</Fact>
              <Fact name="First token">{ms(t.ttft_ms)}</Fact>
              <Fact name="Tokens in" note={t.cached_tokens ? `${int(t.cached_tokens)} cached` : undefined}>
                {int(t.tokens_in)}
              </Fact>
              <Fact name="Tokens out">{int(t.tokens_out)}</Fact>
              <Fact name="Cost">
                <Cost trace={t} />
              </Fact>
            </dl>
            <Attempts trace={t} />
          </>
        ) : (
          <div className="trace-loading">
            <Skeleton height={18} width="70%" />
            <Skeleton height={52} />
            <Skeleton height={16} />
          </div>
        )}
      </div>
      {t && (
        <Tabs
          value={search.tab ?? "conversation"}
          onChange={(tab) => set({ tab: tab === "conversation" ? undefined : (tab as Tab) }, true)}
          keepMounted={false}
          className="trace-tabs"
        >
          <Tabs.List>
            <Tabs.Tab value="conversation">Conversation</Tabs.Tab>
            <Tabs.Tab value="request">Request</Tabs.Tab>
            <Tabs.Tab value="response">Response</Tabs.Tab>
            <Tabs.Tab value="stream">Stream</Tabs.Tab>
            <Tabs.Tab value="metadata">Metadata</Tabs.Tab>
          </Tabs.List>
          <Tabs.Panel value="conversation">
            <ConversationTab key={id} trace={t} content={content} />
          </Tabs.Panel>
          <Tabs.Panel value="request">
            <BodyTab key={id} which="request" trace={t} content={content} />
          </Tabs.Panel>
          <Tabs.Panel value="response">
            <BodyTab key={id} which="response" trace={t} content={content} />
          </Tabs.Panel>
          <Tabs.Panel value="stream">
            <StreamTab key={id} trace={t} content={content} />
          </Tabs.Panel>
          <Tabs.Panel value="metadata">
            <MetadataTab trace={t} />
          </Tabs.Panel>
        </Tabs>
      )}
    </>
  );
}

function Title({ id, heading, controls, command }: Props & { command?: ReactNode }) {
  const link = new URL(`traces/${encodeURIComponent(id)}`, document.baseURI).href;
  return (
    <div className="trace-title">
      <h2 className="mono" tabIndex={-1} ref={heading} title={id}>
        {id}
      </h2>
      <CopyIcon text={id} label="Copy id" />
      <CopyIcon text={link} label="Copy link" icon="link" />
      <span className="grow" />
      {command}
      {controls}
    </div>
  );
}

function Command({ content, gatewayURL, endpoint }: { content: Content; gatewayURL: string; endpoint: string }) {
  const body = content.state === "ready" ? content.request : null;
  const disabled = !body?.text ? "Needs the request's body" : body.truncated ? "The recorded request was cut" : undefined;
  const long = body !== null && body.inline === null;
  const write = async () => {
    if (long && content.state === "ready") await saveRequest(content);
    return curl({ gatewayURL, endpoint, body: body?.inline ?? null });
  };
  return <CopyButton name="c" text={write} disabled={disabled} label={long && !disabled ? "Copy as cURL and download its body" : "Copy as cURL"} />;
}

function Access({ content }: { content: Content }) {
  if (content.state !== "ready") return null;
  return (
    <span className="access">
      <Icon name="lock" size={13} /> decrypted, access logged
    </span>
  );
}

function Fact({ name, note, children }: { name: string; note?: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {children}
        {note && <small>{note}</small>}
      </dd>
    </div>
  );
}
