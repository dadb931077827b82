// What each file of tests works with: providers that play its scripts, routes to them, and
// a tenant of its own in the one Loom that run.mjs has started.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import OpenAI from 'openai'
import { http } from './http.mjs'
import { upstream } from './upstream.mjs'

const { LOOM_BASE_URL, LOOM_DASHBOARD_URL, LOOM_CONFORMANCE_DIR, LOOM_BINARY } = process.env
assert.ok(LOOM_CONFORMANCE_DIR, 'start these tests by `make conformance`, or `node run.mjs FILE...` in this directory')

/** Providers every file has, by kind; `dead` is an address where nobody listens. */
const common = (url) => ({
  openai: { kind: 'openai', base_url: `${url}/v1`, secret: 'sk-provider-openai' },
  plain: { kind: 'compatible', base_url: `${url}/v1`, secret: 'sk-provider-plain' },
  dead: { kind: 'compatible', base_url: 'http://127.0.0.1:1/v1', secret: 'sk-provider-dead' },
})

/** Makes the world of a file. The section's name begins the names of all it makes; via adds
 * providers, routes adds routes, and keys adds keys to the tenant. */
export async function world(section, { via = () => ({}), routes = [], keys = [] } = {}) {
  const up = await upstream()
  after(() => {
    up.close()
    assert.deepEqual(up.failures, [], 'a script failed')
  })
  const providers = { ...common(up.url), ...via(up.url) }
  const manifest = {
    providers: Object.entries(providers).map(([name, p]) => ({ name: `${section}-${name}`, ...p })),
    routes: [
      ...Object.keys(providers).map((name) => ({ model: `${section}/${name}/*`, targets: [{ provider: `${section}-${name}` }] })),
      ...routes,
    ],
    tenants: [{ id: `conf-${section}`, keys: [{ name: 'all' }, ...keys] }, { id: `other-${section}`, keys: [{ name: 'all' }] }],
  }
  const made = apply(section, manifest)
  const w = new World(section, up, made)
  await w.settled(`${section}/plain/settled`)
  return w
}

/** Applies a manifest and gives back the secrets of new keys, by tenant/name. */
function apply(name, manifest) {
  const file = join(LOOM_CONFORMANCE_DIR, `${name}.yaml`)
  writeFileSync(file, JSON.stringify(manifest, null, 1))
  const out = execFileSync(LOOM_BINARY, ['apply', '-f', file, '--json'], { encoding: 'utf8' })
  return Object.fromEntries((JSON.parse(out).keys ?? []).map((k) => [`${k.tenant}/${k.name}`, k.secret]))
}

class World {
  constructor(section, up, keys) {
    Object.assign(this, { section, up, keys })
    this.base = LOOM_BASE_URL // ends in /v1
    this.root = LOOM_BASE_URL.replace(/\/v1$/, '')
    this.key = keys[`conf-${section}/all`]
    this.stranger = keys[`other-${section}/all`] // of another tenant
  }

  /** Has the provider play a script for a model, and gives back the model's name. */
  script(name, script, provider = 'plain') {
    const model = `${this.section}/${provider}/${name}`
    this.up.on(model, script)
    return model
  }

  /** Waits until the gateway knows keys and routes of this file. */
  async settled(model) {
    this.up.on(model, (c) => c.json(completion('ready')))
    await eventually('the configuration is in force', async () => (await this.chat({ model, messages: [] })).status === 200)
  }

  /** OpenAI's client. No retries unless asked for. */
  openai(options = {}) {
    return new OpenAI({ baseURL: this.base, apiKey: this.key, maxRetries: 0, ...options })
  }

  /** A request without an SDK. */
  send(path, { headers = {}, key = this.key, ...rest } = {}) {
    const auth = key ? { authorization: `Bearer ${key}` } : {}
    return http((path.startsWith('/') ? this.root : `${this.base}/`) + path, { headers: { 'content-type': 'application/json', ...auth, ...headers }, ...rest })
  }

  /** A chat completion without an SDK. body is an object, or bytes to be sent as they are. */
  chat(body, options = {}) {
    const bytes = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], ...body })
    return this.send('chat/completions', { body: bytes, ...options })
  }

  async #api(path) {
    const res = await fetch(LOOM_DASHBOARD_URL + path, { headers: { authorization: `Bearer ${this.key}` } })
    return res.ok ? res.json() : undefined
  }

  /** The trace of an answer: of its headers, which may be of an SDK, or of its id. It is
   * there once its usage has been accounted. */
  trace(answer) {
    const id = typeof answer === 'string' ? answer : (answer.headers.get?.('x-loom-trace-id') ?? answer.headers['x-loom-trace-id'])
    assert.ok(id, 'the answer has no x-loom-trace-id')
    return eventually(`trace ${id}`, async () => {
      const t = await this.#api(`/api/v1/traces/${id}`)
      return t && t.cost_status !== 'pending' ? t : undefined
    })
  }

  /** The only trace of a model, for requests whose answer never came. */
  async traceOf(model) {
    const found = await eventually(`a trace of ${model}`, async () => {
      for (let cursor = ''; cursor !== null;) {
        const page = await this.#api(`/api/v1/traces?range=1h&limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`)
        const hits = page?.items.filter((t) => t.model_requested === model) ?? []
        if (hits.length) return hits[0]
        cursor = page?.next_cursor ?? null
      }
      return undefined
    })
    return this.trace(found.id)
  }

  /** What a trace has of the answer, parsed. */
  async recorded(answer) {
    const t = await this.trace(answer)
    const p = await eventually(`payload of ${t.id}`, () => this.#api(`/api/v1/traces/${t.id}/payload`))
    return JSON.parse(p.response.text)
  }
}

/** Asks until there is an answer, for 15 s at most. */
export async function eventually(what, ask, limit = 15_000) {
  const deadline = Date.now() + limit
  for (;;) {
    const got = await ask()
    if (got) return got
    if (Date.now() > deadline) assert.fail(`not within ${limit} ms: ${what}`)
    await sleep(20)
  }
}

/** A chat completion as OpenAI makes it. */
export const completion = (content = 'hello', more = {}) => ({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1_700_000_000,
  model: 'gpt-answered',
  choices: [{ index: 0, message: { role: 'assistant', content, refusal: null }, logprobs: null, finish_reason: 'stop' }],
  usage: { prompt_tokens: 9, completion_tokens: 4, total_tokens: 13 },
  ...more,
})

/** A chunk of a stream. */
export const chunk = (choices, more = {}) =>
  `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1_700_000_000, model: 'gpt-answered', choices, ...more })}\n\n`

/** A chunk with a delta of one choice. */
export const delta = (d, finish_reason = null, index = 0) => chunk([{ index, delta: d, finish_reason }])
export const text = (content) => delta({ content })
export const stop = delta({}, 'stop')
export const usage = (u = { prompt_tokens: 9, completion_tokens: 4, total_tokens: 13 }) => chunk([], { usage: u })
export const done = 'data: [DONE]\n\n'
/** A whole small stream. */
export const stream = (content = 'hello') => [delta({ role: 'assistant', content: '' }), text(content), stop, done]

/** Splits bytes in pieces of a size. */
export function pieces(bytes, size) {
  const all = Buffer.from(bytes)
  const out = []
  for (let i = 0; i < all.length; i += size) out.push(all.subarray(i, i + size))
  return out
}

/** Reads a stream of an SDK to its end, or to its error. */
export async function drain(iterable) {
  const items = []
  try {
    for await (const item of iterable) items.push(item)
  } catch (error) {
    return { items, error }
  }
  return { items }
}
