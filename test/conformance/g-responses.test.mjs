// Section G: the Responses API.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { createOpenAI } from '@ai-sdk/openai'
import { generateText } from 'ai'
import { envelope } from './lib/http.mjs'
import { drain, world } from './lib/world.mjs'

const w = await world('g')

const usage = { input_tokens: 30, input_tokens_details: { cached_tokens: 20 }, output_tokens: 12, output_tokens_details: { reasoning_tokens: 5 }, total_tokens: 42 }
const item = (text) => ({ id: 'msg_1', type: 'message', status: 'completed', role: 'assistant', content: [{ type: 'output_text', text, annotations: [], logprobs: [] }] })
const response = (id, more = {}) => ({
  id, object: 'response', created_at: 1_700_000_000, status: 'completed', background: false, error: null, incomplete_details: null, instructions: null, max_output_tokens: null,
  model: 'gpt-answered', output: [item('hello')], parallel_tool_calls: true, previous_response_id: null, reasoning: { effort: null, summary: null }, store: true, temperature: 1,
  text: { format: { type: 'text' } }, tool_choice: 'auto', tools: [], top_p: 1, truncation: 'disabled', usage, user: null, metadata: {}, ...more,
})

/** Events as OpenAI frames them, numbered. */
const events = (...list) => list.map(([type, data], sequence_number) => `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number, ...data })}\n\n`)
const begin = (id) => [
  ['response.created', { response: response(id, { status: 'in_progress', output: [], usage: null }) }],
  ['response.in_progress', { response: response(id, { status: 'in_progress', output: [], usage: null }) }],
  ['response.output_item.added', { output_index: 0, item: { ...item(''), status: 'in_progress', content: [] } }],
  ['response.content_part.added', { item_id: 'msg_1', output_index: 0, content_index: 0, part: { type: 'output_text', text: '', annotations: [] } }],
  ['response.output_text.delta', { item_id: 'msg_1', output_index: 0, content_index: 0, delta: 'hel', logprobs: [] }],
]
const end = (id, type = 'completed', more = {}) => [
  ['response.output_text.delta', { item_id: 'msg_1', output_index: 0, content_index: 0, delta: 'lo', logprobs: [] }],
  ['response.output_text.done', { item_id: 'msg_1', output_index: 0, content_index: 0, text: 'hello', logprobs: [] }],
  ['response.content_part.done', { item_id: 'msg_1', output_index: 0, content_index: 0, part: item('hello').content[0] }],
  ['response.output_item.done', { output_index: 0, item: item('hello') }],
  [`response.${type}`, { response: response(id, { status: type, ...more }) }],
]

test('56 57 a whole response, its usage in the trace', async () => {
  const body = JSON.stringify(response('resp_whole'))
  const model = w.script('whole', (c) => c.json(body))
  const sent = `{"model":"${model}", "input":"hi","store":true,"x":1.0}`
  const a = await w.send('responses', { body: sent })
  assert.equal(a.text, body)
  const [call] = w.up.seen(model)
  assert.deepEqual([call.path, call.text], ['/v1/responses', sent])
  const t = await w.trace(a)
  assert.deepEqual([t.endpoint, t.tokens_in, t.tokens_out, t.cached_tokens], ['responses', 30, 12, 20])
  assert.equal(t.usage.reasoning, 5)
  const answer = await w.openai().responses.create({ model, input: 'hi' })
  assert.equal(answer.output_text, 'hello')
})

test('56 57 a stream passes to the byte, the terminal event is the trace', async () => {
  const bytes = events(...begin('resp_s'), ...end('resp_s')).join('')
  for (const provider of ['openai', 'plain']) {
    const model = w.script('stream', (c) => c.sse([bytes.slice(0, 700), bytes.slice(700)]), provider)
    const body = JSON.stringify({ model, input: 'hi', stream: true })
    const a = await w.send('responses', { body })
    assert.ok(a.clean)
    assert.equal(a.text, bytes)
    // stream_options has no include_usage here: nothing may be added (41).
    assert.equal(w.up.seen(model)[0].text, body)
    const t = await w.trace(a)
    assert.deepEqual([t.outcome, t.stream, t.tokens_in, t.tokens_out], ['completed', true, 30, 12])
    const recorded = await w.recorded(a)
    assert.equal(recorded.id, 'resp_s')
    assert.equal(recorded.output[0].content[0].text, 'hello')
  }
  const model = w.script('stream-sdk', (c) => c.sse(events(...begin('resp_t'), ...end('resp_t'))))
  const { items, error } = await drain(await w.openai().responses.create({ model, input: 'hi', stream: true }))
  assert.equal(error, undefined)
  assert.deepEqual(items.map((e) => e.sequence_number), items.map((_, i) => i))
  assert.equal(items.at(-1).response.usage.total_tokens, 42)
})

test('56 incomplete and failed are ends too', async () => {
  for (const [type, more, outcome] of [
    ['incomplete', { incomplete_details: { reason: 'max_output_tokens' } }, 'completed'],
    ['failed', { error: { code: 'server_error', message: 'x' }, usage: null }, 'failed'],
  ]) {
    const bytes = events(...begin(`resp_${type}`), ...end(`resp_${type}`, type, more)).join('')
    const model = w.script(type, (c) => c.sse([bytes]))
    const a = await w.send('responses', { body: JSON.stringify({ model, input: 'hi', stream: true }) })
    assert.equal(a.text, bytes)
    assert.ok(a.clean)
    assert.equal((await w.trace(a)).outcome, outcome, type)
  }
})

test('35 an error event of the Responses API passes, and marks the trace', async () => {
  const bytes = events(...begin('resp_e'), ['error', { code: 'server_error', message: 'boom', param: null }]).join('')
  const model = w.script('error', (c) => c.sse([bytes]))
  const a = await w.send('responses', { body: JSON.stringify({ model, input: 'hi', stream: true }) })
  assert.equal(a.text, bytes)
  const t = await w.trace(a)
  assert.deepEqual([t.outcome, t.tokens_out], ['failed', null])
})

test('57 deltas are the trace where the terminal event never came', async () => {
  const model = w.script('cut', async (c) => {
    c.open()
    await c.write([events(...begin('resp_c')).join('')])
    await c.cut()
  })
  const a = await w.send('responses', { body: JSON.stringify({ model, input: 'hi', stream: true }) })
  assert.equal(a.clean, false)
  const t = await w.trace(a)
  assert.deepEqual([t.outcome, t.error_class, t.tokens_out], ['failed', 'upstream_cut', null])
  assert.match(JSON.stringify(await w.recorded(a)), /hel/)
  const { error } = await drain(await w.openai().responses.create({ model, input: 'hi', stream: true }))
  assert.ok(error instanceof OpenAI.APIError, String(error))
})

test('56 ai: a response by its default API', async () => {
  const model = w.script('ai', (c) => c.json(response('resp_ai')))
  const { text, usage: got } = await generateText({ model: createOpenAI({ baseURL: w.base, apiKey: w.key }).responses(model), prompt: 'hi' })
  assert.equal(text, 'hello')
  assert.equal(got.inputTokens, 30)
})

test('58 stored responses go to the provider that made them', async () => {
  const id = 'resp_stored'
  for (const provider of ['plain', 'openai']) {
    const own = `${id}_${provider}`
    const model = w.script('stored', (c) => c.json(response(own, { background: true, status: 'queued' })), provider)
    const client = w.openai()
    assert.equal((await client.responses.create({ model, input: 'hi', background: true })).id, own)
    w.up.on(`/v1/responses/${own}`, (c) => c.json(c.method === 'DELETE' ? { id: own, object: 'response.deleted', deleted: true } : response(own)))
    w.up.on(`/v1/responses/${own}/cancel`, (c) => c.json(response(own, { status: 'cancelled' })))
    w.up.on(`/v1/responses/${own}/input_items`, (c) => c.json({ object: 'list', data: [{ id: 'msg_in', type: 'message', role: 'user', content: [] }], first_id: 'msg_in', last_id: 'msg_in', has_more: false }))
    assert.equal((await client.responses.retrieve(own)).output_text, 'hello')
    assert.equal((await client.responses.cancel(own)).status, 'cancelled')
    assert.equal((await client.responses.inputItems.list(own, { limit: 5 })).data[0].id, 'msg_in')
    assert.equal(w.up.seen(`/v1/responses/${own}/input_items`)[0].query.get('limit'), '5')

    // For every other tenant there is none such, and the provider is not asked.
    const before = w.up.calls.length
    for (const [method, path] of [['GET', ''], ['POST', '/cancel'], ['GET', '/input_items'], ['DELETE', '']]) {
      const a = await w.send(`responses/${own}${path}`, { method, key: w.stranger })
      assert.equal(a.status, 404, `${method} ${path}: ${a.text}`)
      envelope(a, 404, 'invalid_request_error', JSON.parse(a.text).error.code)
    }
    envelope(await w.send(`responses/${own}`, { method: 'GET', key: 'sk-wrong' }), 401, 'auth_error', 'invalid_api_key')
    assert.equal(w.up.calls.length, before)
    await client.responses.delete(own)
    for (const c of w.up.calls.filter((x) => x.path.includes(own))) assert.equal(c.headers.authorization, `Bearer sk-provider-${provider}`)
  }
  const before = w.up.calls.length
  assert.equal((await w.send('responses/resp_nobody', { method: 'GET' })).status, 404)
  assert.equal(w.up.calls.length, before)
})

test('58 a streamed response is known by its id too', async () => {
  const model = w.script('stored-stream', (c) => c.sse(events(...begin('resp_st'), ...end('resp_st'))))
  await drain(await w.openai().responses.create({ model, input: 'hi', stream: true }))
  w.up.on('/v1/responses/resp_st', (c) => c.json(response('resp_st')))
  assert.equal((await w.openai().responses.retrieve('resp_st')).id, 'resp_st')
  assert.equal((await w.send('responses/resp_st', { method: 'GET', key: w.stranger })).status, 404)
})
