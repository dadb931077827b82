// The official OpenAI client against a running Loom: what the application saw is what
// the trace says, to the byte, the token and the picodollar.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import OpenAI, { AuthenticationError, NotFoundError } from 'openai'

const { LOOM_BASE_URL, LOOM_API_KEY, LOOM_DASHBOARD_URL } = process.env
assert.ok(LOOM_BASE_URL && LOOM_API_KEY && LOOM_DASHBOARD_URL, 'set LOOM_BASE_URL, LOOM_API_KEY and LOOM_DASHBOARD_URL, as in .loom/dev.env')

const client = new OpenAI({ baseURL: LOOM_BASE_URL, apiKey: LOOM_API_KEY, maxRetries: 0 })
const model = 'loom-demo'
// Picodollars a token: $0.15 and $0.60 a million.
const rate = { input: 150_000n, output: 600_000n }

/** GET a path of the dashboard's API until `done` says so, for 2 s at most. */
async function eventually(path, done) {
  const deadline = Date.now() + 2000
  for (;;) {
    const response = await fetch(LOOM_DASHBOARD_URL + path, { headers: { authorization: `Bearer ${LOOM_API_KEY}` } })
    const body = await response.json()
    if (response.ok && done(body)) return body
    if (Date.now() > deadline) assert.fail(`${path} after 2 s: ${response.status} ${JSON.stringify(body)}`)
    await sleep(25)
  }
}

/** "0.0000123" of USD in picodollars, exactly. */
function picodollars(usd) {
  const [whole, fraction = ''] = usd.split('.')
  return BigInt(whole) * 10n ** 12n + BigInt(fraction.padEnd(12, '0'))
}

async function checkTrace(id, { prompt, text, usage, stream }) {
  const trace = await eventually(`/api/v1/traces/${id}`, (t) => t.cost_status !== 'pending')
  assert.equal(trace.outcome, 'completed')
  assert.equal(trace.stream, stream)
  assert.equal(trace.model, model)
  assert.equal(trace.tokens_in, usage.prompt_tokens)
  assert.equal(trace.tokens_out, usage.completion_tokens)
  assert.equal(trace.cost_status, 'priced')
  const cost = BigInt(usage.prompt_tokens) * rate.input + BigInt(usage.completion_tokens) * rate.output
  assert.equal(picodollars(trace.cost_usd), cost)

  const payload = await eventually(`/api/v1/traces/${id}/payload`, () => true)
  assert.equal(JSON.parse(payload.request.text).messages[0].content, prompt)
  assert.equal(JSON.parse(payload.response.text).choices[0].message.content, text)
}

test('a completion', async () => {
  const prompt = 'Name three colours. Žluťoučký kůň 🐎'
  const { data, response } = await client.chat.completions.create({ model, messages: [{ role: 'user', content: prompt }] }).withResponse()
  const text = data.choices[0].message.content
  assert.ok(text.length > 0)
  await checkTrace(response.headers.get('x-loom-trace-id'), { prompt, text, usage: data.usage, stream: false })
})

test('a streamed completion', async () => {
  const prompt = 'Count to five.'
  const { data: stream, response } = await client.chat.completions
    .create({ model, stream: true, stream_options: { include_usage: true }, messages: [{ role: 'user', content: prompt }] })
    .withResponse()
  let text = ''
  let usage
  let chunks = 0
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? ''
    usage = chunk.usage ?? usage
    chunks++
  }
  assert.ok(text.length > 0)
  assert.ok(chunks > 3, `${chunks} chunks`)
  await checkTrace(response.headers.get('x-loom-trace-id'), { prompt, text, usage, stream: true })
})

test('models', async () => {
  const ids = []
  for await (const m of client.models.list()) ids.push(m.id)
  assert.ok(ids.includes(model), ids.join())
})

test('errors are the ones the client knows', async () => {
  const wrong = new OpenAI({ baseURL: LOOM_BASE_URL, apiKey: 'sk-wrong', maxRetries: 0 })
  await assert.rejects(wrong.models.list(), (err) => err instanceof AuthenticationError && err.code === 'invalid_api_key' && err.requestID?.length > 0)
  await assert.rejects(
    client.chat.completions.create({ model: 'no-such-model', messages: [{ role: 'user', content: 'x' }] }),
    (err) => err instanceof NotFoundError && err.code === 'model_not_found' && err.param === 'model',
  )
})
