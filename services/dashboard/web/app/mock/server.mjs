// A stand-in for the dashboard service, for working on the UI: `npm run mock`, then `npm run dev`
// with LOOM_DASHBOARD_URL set to its address. It serves ../dist too. Keys: loom_sk_mock,
// loom_sk_nodecrypt, loom_sk_acme (another tenant), loom_sk_new (no traces until its live tail has been open for a while),
// loom_adm_mock.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { made } from "./cases.mjs";
import { detail, payload, traces } from "./data.mjs";
import { bodies, gateway, live, pages } from "./pages.mjs";

const port = Number(process.env.PORT ?? 8081);
const dist = fileURLToPath(new URL("../../dist/", import.meta.url));
const go = await readFile(new URL("../../embed.go", import.meta.url), "utf8");
const policy = [...go.matchAll(/"([^"]*-src [^"]*)"/g)].map((m) => m[1]).join("");
const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2" };

const all = { northwind: made(traces(Number(process.env.MOCK_TRACES ?? 10_000), Date.now(), 26)), acme: traces(40, Date.now(), 26, 3) };

const sessions = {
  loom_sk_mock: { tenant: { id: "northwind", name: "Northwind" }, role: "tenant", scopes: ["chat", "traces:read", "traces:decrypt"], key_name: "production" },
  loom_sk_nodecrypt: { tenant: { id: "northwind", name: "Northwind" }, role: "tenant", scopes: ["traces:read"], key_name: "reader" },
  loom_sk_acme: { tenant: { id: "acme", name: "Acme" }, role: "tenant", scopes: ["traces:read", "traces:decrypt"], key_name: "acme-reader" },
  loom_sk_new: { tenant: { id: "new", name: "New" }, role: "tenant", scopes: ["chat", "traces:read"], key_name: "first" },
  loom_adm_mock: { tenant: null, role: "admin", scopes: [], key_name: "root", tenants: [{ id: "acme", name: "Acme" }, { id: "northwind", name: "Northwind" }] },
};

live(all);

createServer(async (req, res) => {
  const url = new URL(req.url, "http://mock");
  if (url.pathname === "/v1/chat/completions") return gateway(req, res, all, sessions);
  if (!url.pathname.startsWith("/api/")) return serveFile(url.pathname, res);
  const answer = (status, body, headers = {}) => {
    res.writeHead(status, { "Content-Type": "application/json", ...headers });
    res.end(body === undefined ? undefined : JSON.stringify(body));
  };
  const fail = (status, code, message) => answer(status, { error: { code, message, request_id: "req_mock" } });
  const path = url.pathname.slice("/api/v1/".length);
  if (path === "session" && req.method === "POST") {
    const { api_key } = JSON.parse(await text(req));
    const s = sessions[api_key];
    if (!s) return fail(401, "unauthorized", "This key is not known, or was revoked.");
    return answer(200, { ...s, expires_at: null }, { "Set-Cookie": `mock=${api_key}; HttpOnly; SameSite=Strict; Path=/` });
  }
  if (path === "session") return answer(204, undefined, { "Set-Cookie": "mock=; Max-Age=0; Path=/" });
  const s = sessions[/mock=([^;]*)/.exec(req.headers.cookie ?? "")?.[1] ?? req.headers.authorization?.replace("Bearer ", "")];
  if (!s) return fail(401, "unauthorized", "Log in first.");
  if (path === "me") return answer(200, { expires_at: null, gateway_url: `http://127.0.0.1:${port}`, ...s });

  const tenant = s.tenant?.id ?? req.headers["x-loom-tenant"];
  if (s.tenant && (req.headers["x-loom-tenant"] ?? s.tenant.id) !== s.tenant.id) return fail(403, "forbidden", "This key reads for its own tenant only.");
  if (!tenant && !path.startsWith("admin/")) return fail(400, "tenant_required", "Name the tenant with the header X-Loom-Tenant.");
  const mine = all[tenant] ?? [];
  const one = /^traces\/([^/]+)(\/payload)?$/.exec(path);
  if (one && path !== "traces/tail") {
    const t = mine.find((x) => x.id === one[1]);
    if (!t) return fail(404, "not_found", "No such trace.");
    if (!one[2]) return answer(200, detail(t));
    if (s.role === "tenant" && !s.scopes.includes("traces:decrypt")) return fail(403, "forbidden", "This key lacks the scope traces:decrypt.");
    const held = bodies.get(t.id) ?? payload(t);
    if (Array.isArray(held)) return fail(...held);
    return answer(200, held, { "Cache-Control": "no-store" });
  }
  const q = url.searchParams;
  const from = Date.parse(q.get("from") ?? "") || Date.now() - 86_400_000;
  const to = Date.parse(q.get("to") ?? "") || Date.now();
  const within = (a, b) => mine.filter((t) => matches(t, q) && Date.parse(t.started_at) >= a && Date.parse(t.started_at) < b);
  const span = { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
  if (await pages({ req, res, path, q, session: s, sessions, all, tenant, mine, matches, within, from, to, span, answer, fail, summary })) return;
  if (path === "traces") {
    const list = within(from, to);
    const at = Number(q.get("cursor") ?? 0);
    const limit = Number(q.get("limit") ?? 50);
    return answer(200, { ...span, items: list.slice(at, at + limit), next_cursor: at + limit < list.length ? String(at + limit) : null });
  }
  if (path === "summary") {
    const now = within(from, to);
    return answer(200, { ...span, fresh_to: freshTo(), ...summary(now, within(2 * from - to, from)), spark: spark(now, from, to) });
  }
  if (path === "facets") return answer(200, { ...span, total: within(from, to).length, facets: facets(mine, q, from, to) });
  if (path === "timeseries") return answer(200, { ...span, ...series(within(from, to), from, to, q.get("metric"), q.get("by")) });
  fail(404, "not_found", "No such path.");
}).listen(port, "127.0.0.1", () => console.log(`mock on http://127.0.0.1:${port}`));

/** byName groups filters name:value by their names. */
function byName(tags) {
  const out = new Map();
  for (const tag of tags) {
    const name = tag.split(":")[0];
    out.set(name, [...(out.get(name) ?? []), tag]);
  }
  return out;
}

/** matches says whether a trace fits all filters, but one where it is left out. */
function matches(t, q, without) {
  const one = (name, value) => name === without || q.getAll(name).length === 0 || q.getAll(name).includes(String(value));
  const flag = (name, value) => !q.get(name) || q.get(name) === String(value);
  const error = t.outcome === "failed" || t.outcome === "interrupted";
  const status = q.get("status");
  const tags = byName(q.getAll("tag").filter((x) => `tag:${x.split(":")[0]}` !== without));
  return (
    one("model", t.model) && one("provider", t.provider) && one("key", t.key_id) && one("outcome", t.outcome) &&
    one("session", t.session_id) && one("http_status", t.http_status) && one("cost_status", t.cost_status) &&
    flag("stream", t.stream) && flag("cached", t.cached_tokens > 0) && flag("retried", t.attempts > 1) &&
    [...tags].every(([name, values]) => values.includes(`${name}:${t.tags[name]}`)) &&
    t.latency_ms >= Number(q.get("min_latency_ms") ?? 0) && (!q.get("min_cost_usd") || Number(t.cost_usd) >= Number(q.get("min_cost_usd"))) &&
    (!status || (status === "error" ? error : t.outcome === "completed"))
  );
}

// MOCK_LAG=null: nobody knows how fresh the numbers are.
const freshTo = () => (process.env.MOCK_LAG === "null" ? null : new Date(Date.now() - Number(process.env.MOCK_LAG ?? 12) * 1000).toISOString());

const named = { model: (x) => [x.model, x.model], provider: (x) => [x.provider, x.provider], key: (x) => [x.key_id, x.key_name], outcome: (x) => [x.outcome, x.outcome] };

function nameOf(by) {
  if (!by?.startsWith("tag:")) return named[by];
  return (x) => Array(2).fill(x.tags[by.slice(4)] ?? "");
}

function facets(mine, q, from, to) {
  const inWindow = mine.filter((t) => Date.parse(t.started_at) >= from && Date.parse(t.started_at) < to);
  const names = [...new Set(inWindow.flatMap((t) => Object.keys(t.tags)))].sort().slice(0, 10);
  return [...Object.keys(named), ...names.map((n) => `tag:${n}`)].map((dim) => {
    const counts = new Map();
    for (const t of inWindow) {
      if (!matches(t, q, dim)) continue;
      const [value, label] = nameOf(dim)(t);
      if (value === "") continue;
      const have = counts.get(value) ?? { value, label, requests: 0 };
      have.requests++;
      counts.set(value, have);
    }
    const values = [...counts.values()].sort((a, b) => b.requests - a.requests);
    return { dim, values: values.slice(0, 50), more: values.length > 50 };
  });
}

function spark(list, from, to) {
  const steps = 30;
  const each = Array.from({ length: steps }, () => []);
  for (const t of list) each[Math.min(steps - 1, Math.floor(((Date.parse(t.started_at) - from) / (to - from)) * steps))].push(t);
  return {
    t: each.map((_, i) => Math.floor((from + ((to - from) * i) / steps) / 1000)),
    partial_last: false,
    requests: each.map((l) => l.length),
    errors: each.map((l) => l.filter((t) => t.outcome === "failed").length),
    cost_usd: each.map((l) => sum(l, (t) => Number(t.cost_usd))),
    tokens: each.map((l) => sum(l, (t) => t.tokens_in + t.tokens_out)),
    latency_p95_ms: each.map((l) => quantile(l.map((t) => t.latency_ms).sort((a, b) => a - b), 0.95)),
  };
}

const quantile = (sorted, p) => (sorted.length ? sorted[Math.floor((sorted.length - 1) * p)] : null);
const sum = (list, of) => list.reduce((a, t) => a + (of(t) ?? 0), 0);

function summary(now, before) {
  const both = (of) => ({ value: of(now), previous: of(before) });
  const quantiles = (list, of) => {
    const v = list.map(of).filter((x) => x !== null).sort((a, b) => a - b);
    return { p50: quantile(v, 0.5), p95: quantile(v, 0.95), p99: quantile(v, 0.99) };
  };
  const compared = (of) => ({ ...quantiles(now, of), previous: quantiles(before, of) });
  return {
    requests: both((l) => l.length),
    errors: both((l) => l.filter((t) => t.outcome === "failed").length),
    canceled: both((l) => l.filter((t) => t.outcome === "canceled").length),
    cost_usd: both((l) => (l.length ? sum(l, (t) => Number(t.cost_usd)).toFixed(12) : "0")),
    unpriced: both((l) => l.filter((t) => t.cost_status === "unpriced").length),
    no_usage: both((l) => l.filter((t) => t.cost_status === "no_usage").length),
    tokens: {
      total: both((l) => sum(l, (t) => t.tokens_in + t.tokens_out)),
      input: both((l) => sum(l, (t) => t.tokens_in)),
      cached: both((l) => sum(l, (t) => t.cached_tokens)),
      output: both((l) => sum(l, (t) => t.tokens_out)),
      reasoning: both(() => 0),
    },
    latency_ms: compared((t) => t.latency_ms),
    ttft_ms: compared((t) => t.ttft_ms),
  };
}

function series(list, from, to, metric, by) {
  const step = [60, 300, 900, 1800, 3600, 21600, 86400].find((s) => (to - from) / 1000 / s <= 60) ?? 86400;
  const first = Math.floor(from / 1000 / step) * step;
  const t = [];
  for (let s = first; s < to / 1000; s += step) t.push(s);
  const of = {
    cost: (x) => Number(x.cost_usd),
    requests: () => 1,
    tokens: (x) => x.tokens_in + x.tokens_out,
    errors: (x) => (x.outcome === "failed" ? 1 : 0),
  }[metric];
  const bucket = (x) => Math.floor((Date.parse(x.started_at) / 1000 - first) / step);
  const result = { step_s: step, t, partial_last: true };
  if (!of) {
    const buckets = t.map(() => []);
    for (const x of list) buckets[bucket(x)]?.push(x.latency_ms);
    for (const b of buckets) b.sort((a, b) => a - b);
    const every = list.map((x) => x.latency_ms).sort((a, b) => a - b);
    const line = (p) => ({ key: `p${p * 100}`, label: `p${p * 100}`, other: false, total: String(quantile(every, p) ?? ""), values: buckets.map((b) => quantile(b, p)) });
    return { ...result, series: [line(0.5), line(0.95), line(0.99)] };
  }
  const groups = new Map();
  const name = nameOf(by);
  if (!name) groups.set("total", { label: "total", list });
  else for (const x of list) {
    const [key, label] = name(x);
    if (!groups.has(key)) groups.set(key, { label, list: [] });
    groups.get(key).list.push(x);
  }
  const made = [...groups].map(([key, g]) => {
    const values = t.map(() => 0);
    for (const x of g.list) values[bucket(x)] += of(x);
    return { key, label: g.label, other: false, total: String(sum(g.list, of)), values };
  });
  made.sort((a, b) => b.total - a.total);
  const rest = made.splice(6);
  if (rest.length > 0) {
    made.push({ key: "other", label: "other", other: true, total: String(rest.reduce((a, s) => a + Number(s.total), 0)), values: t.map((_, i) => rest.reduce((a, s) => a + s.values[i], 0)) });
  }
  return { ...result, series: made };
}

async function serveFile(path, res) {
  const name = normalize(path).replace(/^\/+/, "") || "index.html";
  const file = extname(name) ? name : "index.html";
  try {
    const body = await readFile(join(dist, file));
    res.writeHead(200, { "Content-Type": types[extname(file)] ?? "application/octet-stream", "Content-Security-Policy": /\.(?:html|js)$/.test(file) ? policy : "default-src 'none'" });
    res.end(body);
  } catch {
    res.writeHead(404).end();
  }
}

async function text(req) {
  let out = "";
  for await (const chunk of req) out += chunk;
  return out;
}
