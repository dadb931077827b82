// What the mock answers for costs, models, the comparison, the pipeline, the live tail and the playground, and a
// stand-in for the gateway at /v1, whose traces come up in the tail. MOCK_LIVE=0: no traces but those.
import { setTimeout as sleep } from "node:timers/promises";
import { traces } from "./data.mjs";

const sum = (list, of) => list.reduce((a, t) => a + (of(t) ?? 0), 0);
const quantile = (sorted, p) => (sorted.length ? sorted[Math.floor((sorted.length - 1) * p)] : null);
const money = (list) => (list.length > 0 && list.every((t) => t.cost_usd === null) ? null : sum(list, (t) => Number(t.cost_usd)).toFixed(12));
const quantiles = (list, of) => {
  const v = list.map(of).filter((x) => x !== null).sort((a, b) => a - b);
  return { p50: quantile(v, 0.5), p95: quantile(v, 0.95), p99: quantile(v, 0.99) };
};
const fresh = () => new Date(Date.now() - 4_000).toISOString();

function dimension(by) {
  if (by.startsWith("tag:")) return (t) => [t.tags[by.slice(4)] ?? "", t.tags[by.slice(4)] ?? ""];
  return { model: (t) => [t.model, t.model], provider: (t) => [t.provider, t.provider], key: (t) => [t.key_id, t.key_name], outcome: (t) => [t.outcome, t.outcome] }[by];
}

function grouped(list, of) {
  const groups = new Map();
  for (const t of list) {
    const [key, label] = of(t);
    if (!groups.has(key)) groups.set(key, { key, label, list: [] });
    groups.get(key).list.push(t);
  }
  return [...groups.values()];
}

function costs(now, before, month, by) {
  const of = dimension(by);
  const was = new Map(grouped(before, of).map((g) => [g.key, g.list]));
  const total = money(now);
  const start = new Date(new Date().toISOString().slice(0, 7) + "-01T00:00:00Z");
  const end = new Date(Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + 1));
  const spent = money(month);
  const unpriced = (l) => l.filter((t) => t.cost_status === "unpriced").length;
  const rows = grouped(now, of).map((g) => {
    const cost = money(g.list);
    const priced = g.list.filter((t) => t.cost_usd !== null).length;
    return {
      key: g.key,
      label: g.label,
      cost_usd: cost,
      previous_usd: was.has(g.key) ? money(was.get(g.key)) : "0",
      share: cost === null || !Number(total) ? null : Number(cost) / Number(total),
      requests: g.list.length,
      unpriced: unpriced(g.list),
      tokens_in: sum(g.list, (t) => t.tokens_in),
      cached_tokens: sum(g.list, (t) => t.cached_tokens),
      tokens_out: sum(g.list, (t) => t.tokens_out),
      per_1k_usd: priced ? ((Number(cost) / priced) * 1000).toFixed(12) : null,
    };
  });
  rows.sort((a, b) => (b.cost_usd ?? -1) - (a.cost_usd ?? -1));
  return {
    fresh_to: fresh(),
    by,
    total_usd: total,
    previous_usd: money(before),
    month: {
      from: start.toISOString(),
      to: end.toISOString(),
      spent_usd: spent,
      forecast_usd: spent === null ? null : (Number(spent) + (Number(total) * (end - Date.now())) / 86_400_000).toFixed(12),
    },
    requests: now.length,
    unpriced: unpriced(now),
    no_usage: now.filter((t) => t.cost_status === "no_usage").length,
    rows: rows.slice(0, 200),
    more: Math.max(0, rows.length - 200),
    unpriced_models: grouped(now.filter((t) => t.cost_status === "unpriced"), (t) => [`${t.provider} ${t.model}`, ""])
      .map((g) => ({ provider: g.list[0].provider, model: g.list[0].model, requests: g.list.length }))
      .sort((a, b) => b.requests - a.requests),
  };
}

function models(list) {
  const rows = grouped(list, (t) => [`${t.provider} ${t.model}`, ""]).map(({ list: l }) => {
    const priced = l.filter((t) => t.cost_usd !== null).length;
    const cost = money(l);
    const out = sum(l, (t) => t.tokens_out);
    return {
      provider: l[0].provider,
      model: l[0].model,
      requests: l.length,
      errors: l.filter((t) => t.outcome === "failed").length,
      canceled: l.filter((t) => t.outcome === "canceled").length,
      unpriced: l.filter((t) => t.cost_status === "unpriced").length,
      cost_usd: cost,
      per_1k_usd: priced ? ((Number(cost) / priced) * 1000).toFixed(12) : null,
      tokens_in: sum(l, (t) => t.tokens_in),
      cached_tokens: sum(l, (t) => t.cached_tokens),
      tokens_out: out,
      output_per_s: out ? out / (sum(l, (t) => t.latency_ms) / 1000) : null,
      latency_ms: quantiles(l, (t) => t.latency_ms),
      ttft_ms: quantiles(l, (t) => t.ttft_ms),
    };
  });
  return { fresh_to: fresh(), rows: rows.sort((a, b) => b.requests - a.requests) };
}

const log = []; // what the tail has sent, oldest first
const listeners = new Set();

function record(all, tenant, trace) {
  (all[tenant] ??= []).unshift(trace);
  const event = { seq: log.length + 1, tenant, trace };
  log.push(event);
  for (const hear of listeners) hear(event);
}

function tail(req, res, all, tenant, wanted) {
  res.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  res.write(": here\n\n");
  let second = 0;
  let sent = 0;
  let dropped = 0;
  const send = ({ seq, tenant: of, trace }) => {
    if (of !== tenant || !wanted(trace)) return;
    const now = Math.floor(Date.now() / 1000);
    if (now !== second) {
      if (dropped > 0) res.write(`event: dropped\nid: ${seq}\ndata: {"n":${dropped}}\n\n`);
      [second, sent, dropped] = [now, 0, 0];
    }
    if (++sent > 20) dropped++;
    else res.write(`event: trace\nid: ${seq}\ndata: ${JSON.stringify(trace)}\n\n`);
  };
  const last = req.headers["last-event-id"];
  if (last !== undefined) for (const e of log.slice(Number(last))) send(e);
  listeners.add(send);
  const first = all[tenant] ? undefined : setTimeout(() => record(all, tenant, traces(1, Date.now(), 0)[0]), 5_000);
  const beat = setInterval(() => res.write(": here\n\n"), 15_000);
  res.on("close", () => {
    clearInterval(beat);
    clearTimeout(first);
    listeners.delete(send);
  });
}

const busAway = () => process.env.MOCK_BUS === "away";

function pipeline() {
  const at = Date.now();
  const iso = (ago) => new Date(at - ago).toISOString();
  const away = busAway();
  const seq = 18_000 + log.length;
  return {
    at: iso(0),
    fresh_to: away ? null : iso(4_200),
    bus: away ? "away" : "up",
    stream: away ? null : { messages: seq, bytes: 412_000_000, max_bytes: 1_073_741_824, first_at: iso(6.6 * 86_400_000), last_at: iso(700) },
    consumers: [
      { name: "recorder", pending: away ? null : 0, unacknowledged: away ? null : 3, redelivered: away ? null : 0, oldest_at: away ? null : iso(300), dead: 0 },
      { name: "analytics", pending: away ? null : 214, unacknowledged: away ? null : 64, redelivered: away ? null : 2, oldest_at: away ? null : iso(4_200), dead: 1 },
    ],
    producers: [
      { id: "gw-1", epoch: 3, numbered: away ? null : seq, recorded: seq - 1, accounted: seq - 214, missing: 0, moved_at: iso(800) },
      { id: "gw-2", epoch: 1, numbered: away ? null : 8_112, recorded: 8_040, accounted: 8_040, missing: 3, moved_at: iso(3_600_000) },
    ],
  };
}

/** What went through the gateway, by the id of its trace. */
export const bodies = new Map();

/** chat plays a gateway: it streams an answer and records the trace. A model named "broken" fails. */
async function chat(res, body, all, key, keyName, tenant) {
  const [trace] = traces(1, Date.now(), 0, log.length + 1000);
  const broken = body.model === "broken";
  const answer = `You said: ${body.messages?.at(-1)?.content ?? "nothing"}. `.repeat(3) + "That is all there is to say about it.";
  Object.assign(trace, {
    started_at: new Date().toISOString(),
    outcome: broken ? "failed" : "completed",
    http_status: broken ? 529 : 200,
    error_class: broken ? "overloaded" : "",
    model: body.model,
    model_requested: body.model,
    provider: "demo",
    key_id: key,
    key_name: keyName,
    tags: body.metadata ?? {},
    stream: body.stream === true,
    attempts: 1,
    tokens_in: broken ? null : 12,
    tokens_out: broken ? null : 40,
    cached_tokens: broken ? null : 0,
    cost_usd: broken ? null : "0.000123000000",
    cost_status: broken ? "no_usage" : "priced",
  });
  const text = (v) => ({ text: JSON.stringify(v), truncated: false, length: JSON.stringify(v).length });
  const whole = broken ? { error: { code: "overloaded" } } : { choices: [{ index: 0, message: { role: "assistant", content: answer }, finish_reason: "stop" }] };
  bodies.set(trace.id, { request: text(body), response: text(whole) });
  const done = () => setTimeout(() => record(all, tenant, trace), 600);
  const head = { "X-Loom-Trace-Id": trace.id };
  if (broken) {
    done();
    res.writeHead(529, { "Content-Type": "application/json", ...head });
    return res.end(JSON.stringify({ error: { message: "The model is overloaded. Try again later.", type: "server_error", param: null, code: "overloaded" } }));
  }
  if (!body.stream) {
    await sleep(300);
    done();
    res.writeHead(200, { "Content-Type": "application/json", ...head });
    return res.end(JSON.stringify({ choices: [{ index: 0, message: { role: "assistant", content: answer }, finish_reason: "stop" }], usage: { prompt_tokens: 12, completion_tokens: 40 } }));
  }
  res.writeHead(200, { "Content-Type": "text/event-stream", ...head });
  let gone = false;
  res.on("close", () => (gone = true));
  for (const word of answer.split(/(?<= )/)) {
    if (gone) break;
    res.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: word }, finish_reason: null }] })}\n\n`);
    await sleep(Number(process.env.MOCK_WORD_MS ?? 30));
  }
  if (gone) trace.outcome = "canceled";
  done();
  res.end(`data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: 12, completion_tokens: 40 } })}\n\ndata: [DONE]\n\n`);
}

const read = async (req) => {
  let out = "";
  for await (const chunk of req) out += chunk;
  return JSON.parse(out);
};

/** gateway answers POST /v1/chat/completions. */
export async function gateway(req, res, all, sessions) {
  const key = (req.headers.authorization ?? "").replace("Bearer ", "");
  const session = sessions[key];
  if (!session?.tenant) {
    res.writeHead(401, { "Content-Type": "application/json" });
    return res.end(JSON.stringify({ error: { message: "Incorrect API key provided.", type: "auth_error", param: null, code: "invalid_api_key" } }));
  }
  await chat(res, await read(req), all, "key_01checkout", session.key_name, session.tenant.id);
}

/** pages answers what belongs to these pages, and says whether it did. */
export async function pages({ req, res, path, q, session, sessions, all, tenant, mine, matches, within, from, to, span, answer, fail, summary }) {
  switch (path) {
    case "traces/tail":
      tail(req, res, all, tenant, (t) => matches(t, q));
      return true;
    case "costs":
    case "costs.csv": {
      const month = mine.filter((t) => matches(t, q) && t.started_at.startsWith(new Date().toISOString().slice(0, 7)));
      const c = costs(within(from, to), within(2 * from - to, from), month, q.get("by") ?? "model");
      if (path === "costs") return answer(200, { ...span, ...c }), true;
      res.writeHead(200, { "Content-Type": "text/csv", "Content-Disposition": 'attachment; filename="costs.csv"' });
      res.end(["key,cost_usd,requests", ...c.rows.map((r) => `"${r.key.replaceAll('"', '""')}",${r.cost_usd ?? ""},${r.requests}`)].join("\r\n") + "\r\n");
      return true;
    }
    case "models":
      answer(200, { ...span, ...models(within(from, to)) });
      return true;
    case "compare": {
      const side = (text) => {
        const p = new URLSearchParams(text);
        const [a, b] = [Date.parse(p.get("from")), Date.parse(p.get("to"))];
        const list = (x, y) => mine.filter((t) => matches(t, p) && Date.parse(t.started_at) >= x && Date.parse(t.started_at) < y);
        return { from: new Date(a).toISOString(), to: new Date(b).toISOString(), ...summary(list(a, b), list(2 * a - b, a)) };
      };
      answer(200, { a: side(q.get("a")), b: side(q.get("b")) });
      return true;
    }
    case "admin/pipeline":
      if (session.role === "admin") answer(200, pipeline());
      else fail(403, "forbidden", "This needs an admin key.");
      return true;
    case "playground/chat/completions": {
      const given = sessions[req.headers["x-loom-key"]];
      const body = await read(req);
      if (given?.tenant) await chat(res, body, all, "key_01checkout", given.key_name, given.tenant.id);
      else answer(401, { error: { message: "Incorrect API key provided.", type: "auth_error", param: null, code: "invalid_api_key" } });
      return true;
    }
  }
  return false;
}

/** live makes a trace every second or so. */
export function live(all) {
  if (process.env.MOCK_LIVE === "0") return;
  let seed = 5000;
  const next = () => {
    const [trace] = traces(3, Date.now(), 0, seed++).slice(2);
    record(all, "northwind", { ...trace, started_at: new Date(Date.now() - trace.latency_ms).toISOString() });
    setTimeout(next, 300 + Math.random() * 1200);
  };
  next();
}
