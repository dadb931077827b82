import { Skeleton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import type { Pipeline as Answer } from "../api/client";
import { pipeline } from "../api/pages";
import { ago, bytes, clock, exactTime, int, unknown } from "../lib/format";
import { useSession } from "../session";
import { CopyIcon } from "../ui/copy";
import { Icon } from "../ui/icons";
import { Empty, Failure } from "../ui/states";
import { TopBar } from "../ui/topbar";
import "../styles/reports.css";

/** Pipeline is how far traces are on their way from the gateways to Postgres; for administrators. */
export function Pipeline() {
  const { me } = useSession();
  return (
    <div className="page">
      <TopBar title="Pipeline" windowed={false} />
      {me.role === "admin" ? (
        <Health />
      ) : (
        <section className="card">
          <Empty icon="lock" title="For administrators">
            <p>The pipeline is shared by all tenants. Log in with a key that starts with loom_adm_ to see it.</p>
          </Empty>
        </section>
      )}
    </div>
  );
}

type Consumer = Answer["consumers"][number];
type Producer = Answer["producers"][number];

function Health() {
  const q = useQuery(pipeline());
  if (q.error && !q.data) {
    return (
      <section className="card">
        <Failure what="The pipeline could not be asked." error={q.error} retry={() => void q.refetch()} />
      </section>
    );
  }
  const d = q.data;
  return (
    <>
      <Verdict data={d} error={q.error} />
      <Strip data={d} />
      <Producers rows={d?.producers} />
      <Meanings />
    </>
  );
}

/** since is the time between two instants of the same clock, in milliseconds. */
const since = (then: string, now: string) => Math.max(0, Date.parse(now) - Date.parse(then));
const behind = 60_000; // ms; older than that is worth a word

function Verdict({ data: d, error }: { data: Answer | undefined; error: Error | null }) {
  if (!d) return <Skeleton height={58} radius={10} />;
  const missing = d.producers.reduce((n, p) => n + p.missing, 0);
  const dead = d.consumers.reduce((n, c) => n + c.dead, 0);
  const oldest = Math.max(0, ...d.consumers.map((c) => (c.oldest_at ? since(c.oldest_at, d.at) : 0)));
  const [tone, title, text, command] =
    error !== null
      ? ["bad", `No answer since ${clock(d.at)}`, `What is below is from then. ${error.message}`]
      : d.bus === "away"
        ? ["bad", "The message bus is away", "Gateways keep answering and put traces into their spools; nothing is lost, and it goes on by itself. What only the bus knows is “–” below."]
        : missing > 0
          ? ["bad", `${int(missing)} ${missing === 1 ? "event has" : "events have"} not come`, "Numbers are missing between those that came. Which, and what to do:", "loom verify"]
          : dead > 0
            ? ["warn", `${int(dead)} ${dead === 1 ? "event is" : "events are"} set aside`, "A consumer could not take them. They are kept until somebody looks:", "loom dead list"]
            : oldest > behind
              ? ["warn", `Behind by ${ago(oldest)}`, "Everything is kept on the bus and comes in time. If it grows, look at Postgres and at the consumers."]
              : ["good", "All well", "Everything that gateways have sent is recorded and accounted, or is on its way."];
  return (
    <section className={`card verdict ${tone}`} role="status">
      <Icon name={tone === "good" ? "check" : "alert"} size={18} />
      <div>
        <h2>{title}</h2>
        <p>
          {text} {command && <code>{command}</code>}
        </p>
      </div>
      <span className="grow" />
      <span className="dim" title={exactTime(d.at)}>
        {clock(d.at)}
      </span>
    </section>
  );
}

/** Strip is the way of a trace, from left to right. */
function Strip({ data: d }: { data: Answer | undefined }) {
  const numbered = d?.producers.reduce<number | null>((n, p) => (n === null || p.numbered === null ? null : n + p.numbered), 0);
  const full = d?.stream?.max_bytes ? d.stream.bytes / d.stream.max_bytes : null;
  return (
    <ol className="way" aria-label="The way of a trace">
      <Stage title="Gateways" sub="number every event">
        <Figure name="In the last day" value={d && int(new Set(d.producers.map((p) => p.id)).size)} />
        <Figure name="Numbered" value={d && int(numbered)} />
      </Stage>
      <Stage title="Stream" sub="keeps them on the bus">
        <Figure name="Events kept" value={d && int(d.stream?.messages)} />
        <Figure name="Size" value={d && bytes(d.stream?.bytes)} note={full === null ? undefined : `${Math.round(full * 100)}% of ${bytes(d?.stream?.max_bytes)}`} bad={full !== null && full > 0.9} />
        <Figure name="Reaches back" value={d && (d.stream?.first_at ? ago(since(d.stream.first_at, d.at)) : unknown)} />
      </Stage>
      <li className="stage pair-stage">
        <Consumption name="Recorder" sub="writes traces" consumer={d?.consumers.find((c) => c.name === "recorder")} at={d?.at} />
        <Consumption name="Analytics" sub="writes costs" consumer={d?.consumers.find((c) => c.name === "analytics")} at={d?.at} />
      </li>
      <Stage title="Postgres" sub="has them for good">
        <Figure name="Complete to" value={d && (d.fresh_to ? clock(d.fresh_to) : unknown)} note={d?.fresh_to ? `${ago(since(d.fresh_to, d.at))} ago` : undefined} bad={!!d?.fresh_to && since(d.fresh_to, d.at) > behind} />
      </Stage>
    </ol>
  );
}

function Stage({ title, sub, children }: { title: string; sub: string; children: ReactNode }) {
  return (
    <li className="card stage">
      <h2>{title}</h2>
      <p className="dim">{sub}</p>
      <dl>{children}</dl>
    </li>
  );
}

function Consumption({ name, sub, consumer: c, at }: { name: string; sub: string; consumer: Consumer | undefined; at: string | undefined }) {
  const oldest = c?.oldest_at && at ? since(c.oldest_at, at) : null;
  return (
    <div className="card">
      <h2>{name}</h2>
      <p className="dim">{sub}</p>
      <dl>
        <Figure name="Pending" value={c && int(c.pending)} />
        <Figure name="In hand" value={c && int(c.unacknowledged)} />
        <Figure name="Redelivered" value={c && int(c.redelivered)} bad={(c?.redelivered ?? 0) > 0} />
        <Figure name="Oldest" value={c && (oldest === null ? (c.pending === null ? unknown : "none") : ago(oldest))} bad={(oldest ?? 0) > behind} />
        <Figure name="Set aside" value={c && int(c.dead)} bad={(c?.dead ?? 0) > 0} />
      </dl>
    </div>
  );
}

/** Figure is one number; a bad one has a mark and a word, not only a colour. */
function Figure({ name, value, note, bad }: { name: string; value: string | undefined; note?: string; bad?: boolean }) {
  return (
    <div className={bad ? "bad" : undefined}>
      <dt>{name}</dt>
      <dd>
        {value === undefined ? <Skeleton height={14} width={40} /> : value}
        {note && <small>{note}</small>}
        {bad && (
          <>
            <Icon name="alert" size={13} />
            <span className="vh">needs a look</span>
          </>
        )}
      </dd>
    </div>
  );
}

function Producers({ rows }: { rows: Producer[] | undefined }) {
  return (
    <section className="card report">
      <div className="toolbar">
        <h2>One by one</h2>
        <span className="dim">gateways of the last day, or with something missing</span>
      </div>
      {rows?.length === 0 ? (
        <Empty icon="pipeline" title="No gateway was heard of in the last day">
          <p>The first request through a gateway brings it here.</p>
        </Empty>
      ) : (
        <div className="sort-table plain" tabIndex={0} role="region" aria-label="Gateways" aria-busy={!rows}>
          <table>
            <caption className="vh">Gateways and how far their events are</caption>
            <thead>
              <tr>
                <th scope="col">Gateway</th>
                <th scope="col" className="number">
                  Life
                </th>
                <th scope="col" className="number">
                  Numbered
                </th>
                <th scope="col" className="number">
                  Recorded up to
                </th>
                <th scope="col" className="number">
                  Accounted up to
                </th>
                <th scope="col" className="number">
                  Missing
                </th>
                <th scope="col" className="number">
                  Last moved
                </th>
              </tr>
            </thead>
            <tbody>
              {rows?.map((p) => (
                <tr key={`${p.id} ${p.epoch}`}>
                  <th scope="row" className="mono">
                    {p.id}
                  </th>
                  <td className="number mono">{p.epoch}</td>
                  <td className="number">{int(p.numbered)}</td>
                  <td className="number">{int(p.recorded)}</td>
                  <td className="number">{int(p.accounted)}</td>
                  <td className="number">
                    {p.missing > 0 ? (
                      <span className="status bad">
                        <i /> {int(p.missing)}
                      </span>
                    ) : (
                      "0"
                    )}
                  </td>
                  <td className="number" title={p.moved_at ? exactTime(p.moved_at) : undefined}>
                    {p.moved_at ? clock(p.moved_at) : unknown}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

const meanings: { name: string; text: string; command?: string }[] = [
  { name: "Pending", text: "Events that a consumer has not been given yet. It rises in a burst and falls by itself; if it only rises, Postgres is slow or away, or the consumer does not run." },
  { name: "In hand", text: "Given and not stored yet. A batch at a time is usual." },
  { name: "Redelivered", text: "In hand not for the first time: a consumer stopped half-way, or Postgres refused. Each event is stored once all the same." },
  { name: "Oldest", text: "How long the oldest event that is not stored has been on the bus. Pages are complete up to about then." },
  { name: "Set aside", text: "Events that a consumer could not take after several tries. See why, then send them again.", command: "loom dead list" },
  { name: "Missing", text: "Numbers that never came, below others that did. The report says which, and whether they are still in a gateway's spool.", command: "loom verify" },
];

function Meanings() {
  return (
    <section className="card meanings">
      <h2>What the numbers say</h2>
      <dl>
        {meanings.map((m) => (
          <div key={m.name}>
            <dt>{m.name}</dt>
            <dd>
              {m.text}
              {m.command && (
                <span className="command">
                  <code>{m.command}</code>
                  <CopyIcon text={m.command} label={`Copy ${m.command}`} />
                </span>
              )}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
