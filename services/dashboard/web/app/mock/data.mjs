// Made-up traces for working on the UI without a Loom; the same ones for the same seed.

import { cases } from "./cases.mjs";

const models = [
  { model: "gpt-5", provider: "openai", price: [1.25, 10], speed: 70, weight: 3 },
  { model: "gpt-5-mini", provider: "openai", price: [0.25, 2], speed: 120, weight: 8 },
  { model: "claude-sonnet-4-5", provider: "anthropic", price: [3, 15], speed: 60, weight: 9 },
  { model: "gemini-2.5-flash", provider: "google", price: [0.3, 2.5], speed: 160, weight: 6 },
  { model: "llama-3.3-70b", provider: "groq", price: [0.59, 0.79], speed: 250, weight: 5 },
  { model: "mistral-large", provider: "mistral", price: [2, 6], speed: 80, weight: 2 },
  { model: "in-house-7b", provider: "cluster", price: null, speed: 90, weight: 1 },
];
const keys = [
  ["key_01checkout", "checkout-prod"],
  ["key_02support", "support-bot"],
  ["key_03rerank", "search-rerank"],
];

/** traces makes n traces that end at now (ms), newest first, over the given hours. */
export function traces(n, now, hours, seed = 7) {
  const random = generator(seed);
  const weights = models.flatMap((m) => Array(m.weight).fill(m));
  const out = [];
  for (let i = 0; i < n; i++) {
    const at = now - Math.floor(((i + random()) / n) * hours * 3_600_000);
    const m = weights[Math.floor(random() * weights.length)];
    const [keyID, keyName] = keys[Math.floor(random() ** 1.6 * keys.length)];
    const error = random() < 0.02;
    const fallback = !error && random() < 0.06;
    const tokensIn = Math.floor(80 + random() ** 3 * 9000);
    const tokensOut = error ? 0 : Math.floor(20 + random() ** 2 * 900);
    const cached = random() < 0.3 ? Math.floor(tokensIn * 0.6) : 0;
    const ttft = 180 + random() ** 3 * 1800 + (fallback ? 420 : 0);
    const latency = error ? 300 + random() * 500 : ttft + (tokensOut / m.speed) * 1000;
    const cost = m.price && !error ? (tokensIn * m.price[0] + tokensOut * m.price[1]) / 1e6 : null;
    const code = [429, 529, 500, 400][Math.floor(random() * 4)];
    const tags = { env: random() < 0.8 ? "prod" : "staging", feature: ["chat", "rag", "agent", "classify"][Math.floor(random() * 4)] };
    out.push({
      id: uuid(random),
      started_at: new Date(at).toISOString(),
      outcome: error ? "failed" : random() < 0.01 ? "canceled" : "completed",
      http_status: error ? code : 200,
      error_class: error ? (code === 429 ? "rate_limited" : code === 400 ? "invalid_request" : "upstream_error") : "",
      endpoint: "chat.completions",
      model: m.model,
      model_requested: m.model,
      provider: m.provider,
      key_id: keyID,
      key_name: keyName,
      tokens_in: error ? null : tokensIn,
      tokens_out: error ? null : tokensOut,
      cached_tokens: error ? null : cached,
      ttft_ms: error ? null : ttft,
      latency_ms: latency,
      cost_usd: i < 2 || cost === null ? null : cost.toFixed(12),
      cost_status: error ? "no_usage" : i < 2 ? "pending" : cost === null ? "unpriced" : "priced",
      stream: random() < 0.8,
      attempts: fallback ? 2 : 1,
      tags: process.env.MOCK_TAGS === "0" ? {} : tags,
      session_id: random() < 0.5 ? `s-${Math.floor(random() * n / 4)}` : "",
    });
  }
  return out;
}

/** detail is what a trace's own page adds. */
export function detail(t) {
  const ok = t.outcome === "completed";
  const last = { provider: t.provider, model: t.model, status: t.http_status, error_class: t.error_class };
  const attempts =
    t.attempts > 1
      ? [
          { ...last, provider: "anthropic", status: 529, error_class: "overloaded", start_ms: 0, duration_ms: 420 },
          { ...last, start_ms: 424, duration_ms: t.latency_ms - 424 },
        ]
      : [{ ...last, start_ms: 2, duration_ms: t.latency_ms - 2 }];
  return {
    ...t,
    route: "*",
    model_upstream: t.model,
    model_answered: ok ? `${t.model}-2026-08-01` : "",
    provider_kind: "compatible",
    usage: ok
      ? { input_uncached: t.tokens_in - t.cached_tokens, cache_read: t.cached_tokens, cache_write: 0, cache_write_1h: 0, output: t.tokens_out, reasoning: 0 }
      : null,
    usage_raw: ok ? { prompt_tokens: t.tokens_in, completion_tokens: t.tokens_out, total_tokens: t.tokens_in + t.tokens_out } : null,
    usage_source: ok ? "provider" : "none",
    service_tier: "default",
    region: "",
    end_user: "u_81",
    unpriced_why: t.cost_status === "unpriced" ? "no_price" : null,
    finish_reasons: ok ? ["stop"] : [],
    tool_names: ["get_order", "check_policy"],
    gap_p50_ms: t.stream ? 11.2 : null,
    gap_p99_ms: t.stream ? 64 : null,
    request_bytes: 1841,
    response_bytes: 20333,
    chunks: t.stream ? t.tokens_out : 0,
    attempts_detail: attempts,
    content_mode: "full",
    price_version: t.cost_status === "priced" ? "builtin 2026-11-01" : null,
    payload_state: ["shredded", "not_recorded"].find((s) => s === cases[t.case]) ?? "available",
    producer: { id: "gw-1", epoch: 3, seq: 1841 },
    recorded_at: new Date(Date.parse(t.started_at) + t.latency_ms + 300).toISOString(),
  };
}

/** payload is the bodies, with everything that a thread can hold; or a fault: its status, code and message. */
export function payload(t) {
  const special = cases[t.case];
  if (special) return typeof special === "function" ? special() : special;
  const request = {
    model: t.model_requested,
    stream: t.stream,
    tools: ["get_order", "check_policy"].map((name) => ({ type: "function", function: { name, parameters: { type: "object" } } })),
    messages: [
      {
        role: "system",
        content:
          "You are the support agent for Northwind. Use the tools to look up orders before you answer. Never promise a refund that the policy does not allow. Keep answers under 120 words.",
      },
      {
        role: "user",
        content: "Hi, order #58213 arrived with a cracked lid. I need it for Saturday – can you send a replacement, and what does that cost me? <img src=x onerror=alert(1)>",
      },
      {
        role: "assistant",
        content: null,
        tool_calls: [
          { id: "call_8sK2", type: "function", function: { name: "get_order", arguments: '{"order_id":"58213","include":["items","shipments"]}' } },
          { id: "call_Qm41", type: "function", function: { name: "check_policy", arguments: '{"topic":"damaged_on_arrival","region":"EU"}' } },
        ],
      },
      {
        role: "tool",
        tool_call_id: "call_8sK2",
        content: JSON.stringify({
          order_id: "58213",
          status: "delivered",
          delivered_at: "2026-11-19",
          items: [{ sku: "KET-2L-BLK", name: "Kettle 2 L, black", qty: 1, price_eur: 49.9, in_stock: 37 }],
          shipments: [{ carrier: "DHL", delivered: true, note: null }],
        }),
      },
      { role: "tool", tool_call_id: "call_Qm41", content: '{"refund":false,"replacement":"free within 30 days"}' },
    ],
  };
  const answer = "I'm sorry about the lid. A replacement kettle is free, it leaves today by express and arrives on Friday. You can keep or recycle the damaged one; there is nothing to pay and nothing to send back.";
  const response =
    t.outcome === "failed"
      ? { error: { message: "The model is overloaded. Try again later.", type: "server_error", code: t.error_class } }
      : {
          id: "chatcmpl-81",
          object: "chat.completion",
          model: t.model,
          choices: [{ index: 0, message: { role: "assistant", content: answer }, finish_reason: "stop" }],
          usage: { prompt_tokens: t.tokens_in, completion_tokens: t.tokens_out },
        };
  const body = (v) => {
    const text = JSON.stringify(v);
    return { text, truncated: false, length: Buffer.byteLength(text) };
  };
  return { request: body(request), response: body(response) };
}

function generator(seed) {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function uuid(random) {
  const hex = Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7${hex.slice(13, 16)}-9${hex.slice(17, 20)}-${hex.slice(20)}`;
}
