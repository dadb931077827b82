// Section L: chat completions for Anthropic, the request's rows.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as ant from './lib/anthropic.mjs'
import { envelope } from './lib/http.mjs'
import { world } from './lib/world.mjs'

const w = await world('lr', {
  via: (url) => ({ anthropic: { kind: 'anthropic', base_url: url, secret: 'sk-ant-provider' }, capped: { kind: 'anthropic', base_url: `${url}/v1`, secret: 'sk-ant-provider', max_tokens: 777 } }),
})

/** What the provider is sent for a chat completion. */
let n = 0
async function sent(body, provider = 'anthropic') {
  const model = w.script(`m${n++}`, (c) => c.json(ant.message([ant.text('ok')])), provider)
  const a = await w.chat({ model, ...body })
  assert.equal(a.status, 200, a.text)
  const [call] = w.up.seen(model)
  return { call, got: call.asked, model }
}

const user = { role: 'user', content: 'hi' }
const parts = (...content) => [{ role: 'user', content }]

test('L where, by whom and for which model', async () => {
  const { call, got, model } = await sent({ messages: [user] })
  assert.equal(call.url, '/v1/messages')
  assert.equal(call.headers['x-api-key'], 'sk-ant-provider')
  assert.equal(call.headers['anthropic-version'], '2023-06-01')
  assert.equal(call.headers.authorization, undefined)
  assert.ok(!call.raw.join('\n').includes(w.key))
  assert.equal(got.model, model)
  assert.equal((await sent({ messages: [user] }, 'capped')).call.url, '/v1/messages')
})

test('L system and developer messages, wherever they stand', async () => {
  const { got } = await sent({ messages: [{ role: 'system', content: 'one' }, user, { role: 'developer', content: [{ type: 'text', text: 'two' }] }, { role: 'assistant', content: 'a' }, { role: 'system', content: 'three' }, user] })
  assert.equal(ant.words(got.system), 'one\ntwo\nthree')
  assert.ok(got.messages.every((m) => m.role === 'user' || m.role === 'assistant'))
})

test('L text, as a string or in parts', async () => {
  const { got } = await sent({ messages: [{ role: 'user', content: [{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }] }, { role: 'assistant', content: 'c' }, user] })
  assert.deepEqual(got.messages.map((m) => [m.role, ant.blocks(m.content).map((b) => b.text)]), [['user', ['a', 'b']], ['assistant', ['c']], ['user', ['hi']]])
})

test('L images, by their bytes or their address', async () => {
  const { got } = await sent({ messages: parts({ type: 'image_url', image_url: { url: 'data:image/png;base64,QUJD', detail: 'high' } }, { type: 'image_url', image_url: { url: 'https://example.com/a.jpg' } }) })
  assert.deepEqual(got.messages[0].content, [
    { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'QUJD' } },
    { type: 'image', source: { type: 'url', url: 'https://example.com/a.jpg' } },
  ])
})

test('L a PDF is a document, sound is refused', async () => {
  const { got } = await sent({ messages: parts({ type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,QUJD' } }) })
  const [block] = got.messages[0].content
  assert.equal(block.type, 'document')
  assert.deepEqual(block.source, { type: 'base64', media_type: 'application/pdf', data: 'QUJD' })
  const model = w.script('sound', (c) => c.json(ant.message([])), 'anthropic')
  envelope(await w.chat({ model, messages: parts({ type: 'input_audio', input_audio: { data: 'QUJD', format: 'wav' } }) }), 400, 'invalid_request_error', null)
  assert.equal(w.up.seen(model).length, 0)
})

test('L tools, their calls and their results', async () => {
  const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
  const tool = (id, content) => ({ role: 'tool', tool_call_id: id, content })
  const { got } = await sent({
    tools: [{ type: 'function', function: { name: 'weather', description: 'of a city', parameters } }, { type: 'function', function: { name: 'now' } }],
    messages: [
      user,
      { role: 'assistant', content: 'let me see', tool_calls: [{ id: 'c1', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo","n":12345678901234567890}' } }, { id: 'c2', type: 'function', function: { name: 'now', arguments: '' } }] },
      tool('c1', 'rain'), tool('c2', [{ type: 'text', text: 'noon' }]), { role: 'user', content: 'and?' },
    ],
  })
  assert.deepEqual(got.tools.map((t) => [t.name, t.description, t.input_schema]), [['weather', 'of a city', parameters], ['now', undefined, { type: 'object' }]])
  assert.equal(got.messages.length, 3)
  const [, call, results] = got.messages
  assert.equal(call.role, 'assistant')
  assert.deepEqual(call.content.map((b) => b.type), ['text', 'tool_use', 'tool_use'])
  assert.deepEqual([call.content[1].id, call.content[1].name, call.content[1].input.city], ['c1', 'weather', 'Oslo'])
  assert.deepEqual(call.content[2].input, {})
  assert.equal(results.role, 'user')
  assert.deepEqual(results.content.map((b) => b.type), ['tool_result', 'tool_result', 'text'])
  assert.deepEqual(results.content.map((b) => b.tool_use_id ?? b.text), ['c1', 'c2', 'and?'])
  assert.deepEqual(results.content.slice(0, 2).map((b) => ant.words(b.content)), ['rain', 'noon'])
})

test('5 L arguments of a tool call keep their digits', async () => {
  const { call } = await sent({
    tools: [{ type: 'function', function: { name: 'f' } }],
    messages: [user, { role: 'assistant', content: null, tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{"n":12345678901234567890,"x":1.0}' } }] }, { role: 'tool', tool_call_id: 'c1', content: 'r' }],
  })
  assert.match(call.body.toString(), /"input":\s*\{"n":12345678901234567890,"x":1\.0\}/)
})

test('L tool_choice and parallel calls', async () => {
  const tools = [{ type: 'function', function: { name: 'f' } }]
  for (const [choice, want] of [['auto', { type: 'auto' }], ['required', { type: 'any' }], ['none', { type: 'none' }], [{ type: 'function', function: { name: 'f' } }, { type: 'tool', name: 'f' }]]) {
    assert.deepEqual((await sent({ messages: [user], tools, tool_choice: choice })).got.tool_choice, want)
  }
  const { got } = await sent({ messages: [user], tools, tool_choice: 'required', parallel_tool_calls: false })
  assert.deepEqual(got.tool_choice, { type: 'any', disable_parallel_tool_use: true })
  assert.equal((await sent({ messages: [user], tools, parallel_tool_calls: false })).got.tool_choice.disable_parallel_tool_use, true)
})

test('L max_tokens is always there', async () => {
  assert.equal((await sent({ messages: [user], max_tokens: 5 })).got.max_tokens, 5)
  assert.equal((await sent({ messages: [user], max_tokens: 5, max_completion_tokens: 6 })).got.max_tokens, 6)
  assert.ok((await sent({ messages: [user] })).got.max_tokens >= 1024)
  assert.equal((await sent({ messages: [user] }, 'capped')).got.max_tokens, 777)
})

test('L stop, temperature, top_p', async () => {
  assert.deepEqual((await sent({ messages: [user], stop: 'END' })).got.stop_sequences, ['END'])
  assert.deepEqual((await sent({ messages: [user], stop: ['a', ' ', '\n', 'b'] })).got.stop_sequences, ['a', 'b'])
  const { got } = await sent({ messages: [user], temperature: 1.7 })
  assert.equal(got.temperature, 1)
  assert.equal((await sent({ messages: [user], temperature: 0.3 })).got.temperature, 0.3)
  assert.equal((await sent({ messages: [user], top_p: 0.9 })).got.top_p, 0.9)
})

test('L reasoning_effort becomes thinking or an effort', async () => {
  for (const reasoning_effort of ['low', 'medium', 'high']) {
    const { got } = await sent({ messages: [user], reasoning_effort, max_completion_tokens: 9000 })
    if (got.thinking?.type === 'enabled') {
      assert.ok(got.thinking.budget_tokens >= 1024 && got.thinking.budget_tokens < got.max_tokens, JSON.stringify(got))
    } else {
      assert.equal(got.output_config.effort, reasoning_effort)
    }
  }
})

test('L a JSON schema is output_config.format', async () => {
  const schema = { type: 'object', properties: { a: { type: 'string' } }, required: ['a'], additionalProperties: false }
  const { got } = await sent({ messages: [user], response_format: { type: 'json_schema', json_schema: { name: 'x', strict: true, schema } } })
  assert.deepEqual(got.output_config.format, { type: 'json_schema', schema })
})

test('L user and service_tier', async () => {
  assert.deepEqual((await sent({ messages: [user], user: 'u-1' })).got.metadata, { user_id: 'u-1' })
  assert.equal((await sent({ messages: [user], service_tier: 'auto' })).got.service_tier, 'auto')
  assert.equal((await sent({ messages: [user], service_tier: 'default' })).got.service_tier, 'standard_only')
})

test('L several choices are refused, what has no counterpart is left out', async () => {
  const model = w.script('n', (c) => c.json(ant.message([])), 'anthropic')
  envelope(await w.chat({ model, n: 2 }), 400, 'invalid_request_error', null)
  assert.equal(w.up.seen(model).length, 0)
  const { got } = await sent({ messages: [user], n: 1, logprobs: true, top_logprobs: 2, logit_bias: { 1: 2 }, seed: 1, presence_penalty: 1, frequency_penalty: 1, store: true, modalities: ['text'], prediction: { type: 'content', content: 'x' } })
  for (const name of ['n', 'logprobs', 'top_logprobs', 'logit_bias', 'seed', 'presence_penalty', 'frequency_penalty', 'store', 'modalities', 'prediction', 'stream_options']) assert.ok(!(name in got), name)
})
