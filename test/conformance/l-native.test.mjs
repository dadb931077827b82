// Section L, 77: Anthropic's own API, by its own client.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import * as ant from './lib/anthropic.mjs'
import { drain, world } from './lib/world.mjs'

const w = await world('ln', { via: (url) => ({ anthropic: { kind: 'anthropic', base_url: url, secret: 'sk-ant-provider' } }) })
const plays = (name, script) => w.script(name, script, 'anthropic')
const client = (options = {}) => new Anthropic({ baseURL: w.root, apiKey: w.key, maxRetries: 0, ...options })
const ask = (model, more = {}) => ({ model, max_tokens: 16, messages: [{ role: 'user', content: 'hi' }], ...more })

test('77 a message, untouched in both directions', async () => {
  const body = `{ "id":"msg_1","type":"message","role":"assistant","model":"claude-answered","content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":${JSON.stringify(ant.usage)},"x":1.0}`
  const model = plays('whole', (c) => c.json(body, 200, [['request-id', 'req_ant'], ['anthropic-ratelimit-requests-remaining', '3'], ['set-cookie', 'a=b']]))
  const sent = `{"max_tokens":16, "model":"${model}","messages":[{"role":"user","content":"hi"}],"n":12345678901234567890}`
  const a = await w.send('messages', { body: sent, headers: { 'anthropic-version': '2023-06-01', 'anthropic-beta': 'x-1' } })
  assert.equal(a.text, body)
  const [call] = w.up.seen(model)
  assert.deepEqual([call.path, call.text], ['/v1/messages', sent])
  assert.deepEqual([call.headers['x-api-key'], call.headers['anthropic-version'], call.headers['anthropic-beta'], call.headers.authorization], ['sk-ant-provider', '2023-06-01', 'x-1', undefined])
  assert.deepEqual([a.headers['request-id'], a.headers['anthropic-ratelimit-requests-remaining'], a.headers['set-cookie']], ['req_ant', '3', undefined])
  const t = await w.trace(a)
  assert.deepEqual([t.endpoint, t.outcome, t.tokens_in, t.tokens_out, t.usage.input_uncached, t.usage.cache_read, t.usage.cache_write], ['messages', 'completed', 120, 7, 10, 90, 20])
  const answer = await client().messages.create(ask(model))
  assert.equal(answer.content[0].text, 'hello')
  assert.equal(answer._request_id, 'req_ant')
})

test('77 76 a stream, byte for byte; its usage is not added up', async () => {
  const events = ant.stream([{ thinking: ['hm'] }, { text: ['hel', 'lo'] }, { tool: 'f', id: 'toolu_1', json: ['{"a"', ':1}'] }], { stop_reason: 'tool_use' })
  const model = plays('stream', (c) => c.sse(events))
  const a = await w.send('messages', { body: JSON.stringify(ask(model, { stream: true })) })
  assert.equal(a.text, events.join(''))
  assert.ok(a.clean)
  const t = await w.trace(a)
  assert.deepEqual([t.outcome, t.tokens_in, t.tokens_out, t.usage.cache_read, t.tool_names], ['completed', 120, 7, 90, ['f']])
  assert.match(JSON.stringify(await w.recorded(a)), /hello/)
  const message = await client().messages.stream(ask(model)).finalMessage()
  assert.equal(message.content[1].text, 'hello')
  assert.deepEqual(message.content[2].input, { a: 1 })
})

test('77 count_tokens', async () => {
  const model = plays('count', (c) => c.json({ input_tokens: 42 }))
  assert.equal((await client().messages.countTokens({ model, messages: [{ role: 'user', content: 'hi' }] })).input_tokens, 42)
  assert.equal(w.up.seen(model)[0].path, '/v1/messages/count_tokens')
})

test('77 its errors stay its own, 529 stays 529', async () => {
  for (const [status, type] of [[400, 'invalid_request_error'], [404, 'not_found_error'], [413, 'request_too_large'], [429, 'rate_limit_error'], [500, 'api_error'], [529, 'overloaded_error']]) {
    const body = JSON.stringify(ant.error(type))
    const model = plays(`fault-${status}`, (c) => c.json(body, status, [['retry-after', '1']]))
    for (const stream of [false, true]) {
      const a = await w.send('messages', { body: JSON.stringify(ask(model, { stream })) })
      assert.deepEqual([a.status, a.text, a.headers['retry-after']], [status, body, '1'])
    }
    await assert.rejects(client().messages.create(ask(model)), (err) => err instanceof Anthropic.APIError && err.status === status)
  }
  const model = plays('overloaded-midway', (c) => c.sse([...ant.stream([{ text: ['half'] }], { end: false }), ant.event('error', { error: { type: 'overloaded_error', message: 'Overloaded' } })]))
  const { error } = await drain(await client().messages.create(ask(model, { stream: true })))
  assert.ok(error instanceof Anthropic.APIError, String(error))
  assert.equal((await w.traceOf(model)).outcome, 'failed')
})

/** An error of the gateway's own, in Anthropic's envelope. */
function envelope(a, status, type) {
  assert.equal(a.status, status, a.text)
  assert.match(a.headers['content-type'], /^application\/json/)
  const body = JSON.parse(a.text)
  assert.equal(body.type, 'error', a.text)
  assert.equal(body.error.type, type, a.text)
  assert.equal(typeof body.error.message, 'string')
  assert.ok(a.headers['x-request-id'] || a.headers['request-id'])
}

test('77 18 the gateway\'s own errors are in Anthropic\'s envelope there', async () => {
  const auth = plays('auth', (c) => c.json(ant.error('authentication_error', 'invalid x-api-key'), 401))
  envelope(await w.send('messages', { body: '{', key: 'wrong' }), 401, 'authentication_error')
  envelope(await w.send('messages', { body: '{' }), 400, 'invalid_request_error')
  envelope(await w.send('messages', { body: '{"max_tokens":1}' }), 400, 'invalid_request_error')
  envelope(await w.send('messages', { body: JSON.stringify(ask('ln-nothing')) }), 404, 'not_found_error')
  const large = { ...ask('ln-nothing'), x: 'x'.repeat(40 << 20) }
  await assert.rejects(client().messages.create(large), (err) => err.status === 413 && err.error.type === 'error' && err.error.error.type === 'request_too_large')
  envelope(await w.send('messages', { body: JSON.stringify(ask(auth)) }), 502, 'api_error')
  await assert.rejects(client({ apiKey: 'wrong' }).messages.create(ask('x')), Anthropic.AuthenticationError)
  await assert.rejects(client().messages.create(ask('ln-nothing')), Anthropic.NotFoundError)
})

test('77 31 a cut stream has no clean end, and the client is told in its own words', async () => {
  const model = plays('cut', async (c) => {
    c.open()
    await c.write(ant.stream([{ text: ['half'] }], { end: false }))
    await c.cut()
  })
  const a = await w.send('messages', { body: JSON.stringify(ask(model, { stream: true })) })
  assert.equal(a.clean, false)
  assert.match(a.text, /event: error\ndata: \{"type":"error","error":\{"type":"api_error","message":"[^"]+"\}[^\n]*\}\n\n$/)
  const { error } = await drain(await client().messages.create(ask(model, { stream: true })))
  assert.ok(error instanceof Anthropic.APIError, String(error))
})

test('77 the client\'s key is taken as it sends it, and as a bearer', async () => {
  const model = plays('bearer', (c) => c.json(ant.message([ant.text('ok')])))
  assert.equal((await client({ apiKey: null, authToken: w.key }).messages.create(ask(model))).content[0].text, 'ok')
  for (const call of w.up.seen(model)) assert.ok(!call.raw.join('\n').includes(w.key))
})
