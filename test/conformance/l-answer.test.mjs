// Section L: chat completions for Anthropic, the answer's rows, as official clients see them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { ChatOpenAI } from '@langchain/openai'
import { createOpenAI } from '@ai-sdk/openai'
import { streamText } from 'ai'
import * as ant from './lib/anthropic.mjs'
import { envelope } from './lib/http.mjs'
import { done, drain, pieces, world } from './lib/world.mjs'

const w = await world('la', { via: (url) => ({ anthropic: { kind: 'anthropic', base_url: url, secret: 'sk-ant-provider' } }) })
const plays = (name, script) => w.script(name, script, 'anthropic')
const ask = { messages: [{ role: 'user', content: 'hi' }] }

const openaiUsage = (u) => [u.prompt_tokens, u.completion_tokens, u.total_tokens, u.prompt_tokens_details.cached_tokens]

test('76 text: its usage is OpenAI\'s sum here and three numbers in the trace', async () => {
  const model = plays('text', (c) => c.json(ant.message([{ type: 'thinking', thinking: 'hm', signature: 's' }, ant.text('hel'), ant.text('lo')])))
  const { data, response } = await w.openai().chat.completions.create({ model, ...ask }).withResponse()
  assert.equal(data.object, 'chat.completion')
  assert.equal(data.choices[0].message.content, 'hello')
  assert.equal(data.choices[0].message.reasoning_content, 'hm')
  assert.equal(data.choices[0].finish_reason, 'stop')
  assert.deepEqual(openaiUsage(data.usage), [120, 7, 127, 90])
  assert.equal(data.usage.prompt_tokens_details.cache_write_tokens, 20)
  const t = await w.trace(response)
  assert.deepEqual([t.tokens_in, t.tokens_out, t.usage.input_uncached, t.usage.cache_read, t.usage.cache_write], [120, 7, 10, 90, 20])
})

test('L stop reasons', async () => {
  for (const [reason, want] of [
    ['end_turn', 'stop'], ['stop_sequence', 'stop'], ['pause_turn', 'stop'], ['max_tokens', 'length'], ['model_context_window_exceeded', 'length'], ['tool_use', 'tool_calls'], ['refusal', 'content_filter'],
  ]) {
    const model = plays(`stop-${reason}`, (c) => (c.asked.stream ? c.sse(ant.stream([{ text: ['no'] }], { stop_reason: reason })) : c.json(ant.message([ant.text('no')], { stop_reason: reason }))))
    const { choices } = await w.openai().chat.completions.create({ model, ...ask })
    assert.equal(choices[0].finish_reason, want)
    if (reason === 'refusal') assert.equal(choices[0].message.refusal, 'no')
    const { items } = await drain(await w.openai().chat.completions.create({ model, stream: true, ...ask }))
    assert.equal(items.at(-1).choices[0].finish_reason, want)
  }
})

test('L tool calls, whole: arguments are JSON', async () => {
  const model = plays('tool', (c) => c.json(`{"id":"msg_1","type":"message","role":"assistant","model":"claude-answered","content":[{"type":"text","text":"a"},{"type":"tool_use","id":"toolu_1","name":"f","input":{"n":12345678901234567890,"x":1.0}}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":2}}`))
  const { choices } = await w.openai().chat.completions.create({ model, ...ask })
  assert.deepEqual(choices[0].message.tool_calls, [{ id: 'toolu_1', type: 'function', function: { name: 'f', arguments: '{"n":12345678901234567890,"x":1.0}' } }])
  assert.equal(choices[0].finish_reason, 'tool_calls')
})

const busy = ant.stream([{ thinking: ['h', 'm'] }, { text: ['hel', 'lo 🐎'] }, { tool: 'f', id: 'toolu_1', json: ['', '{"a":', '1}'] }, { text: ['x'] }, { tool: 'g', id: 'toolu_2', json: ['{}'] }], { stop_reason: 'tool_use' })

test('L 76 a stream: chunks as OpenAI sends them', async () => {
  const model = plays('stream', (c) => c.sse(pieces(busy.join(''), 97), { pause: 1 }))
  const a = await w.chat({ model, stream: true, stream_options: { include_usage: true } })
  assert.ok(a.clean)
  assert.ok(a.text.endsWith(done))
  assert.match(a.headers['content-type'], /^text\/event-stream/)
  const chunks = a.text.split('\n\n').filter(Boolean).slice(0, -1).map((e) => JSON.parse(e.replace(/^data: /, '')))
  for (const c of chunks) assert.deepEqual([c.id, c.object, c.model, typeof c.created], [chunks[0].id, 'chat.completion.chunk', 'claude-answered', 'number'])
  assert.equal(chunks[0].choices[0].delta.role, 'assistant')
  const deltas = chunks.flatMap((c) => c.choices.map((x) => x.delta))
  assert.equal(deltas.map((d) => d.reasoning_content ?? '').join(''), 'hm')
  assert.equal(deltas.map((d) => d.content ?? '').join(''), 'hello 🐎x')
  const calls = deltas.flatMap((d) => d.tool_calls ?? [])
  // Counted by tool, not by block; the first piece of each has its name and no arguments.
  assert.deepEqual(calls.filter((x) => x.id).map((x) => [x.index, x.id, x.type, x.function.name, x.function.arguments]), [[0, 'toolu_1', 'function', 'f', ''], [1, 'toolu_2', 'function', 'g', '']])
  assert.equal(calls.filter((x) => x.index === 0).map((x) => x.function.arguments).join(''), '{"a":1}')
  assert.equal(chunks.at(-2).choices[0].finish_reason, 'tool_calls')
  assert.deepEqual(chunks.at(-1).choices, [])
  // The numbers of message_start are not added to those of message_delta.
  assert.deepEqual(openaiUsage(chunks.at(-1).usage), [120, 7, 127, 90])
  assert.ok(!a.text.includes('sig') && !a.text.includes('ping'))
  const t = await w.trace(a)
  assert.deepEqual([t.outcome, t.tokens_in, t.tokens_out, t.tool_names, t.finish_reasons], ['completed', 120, 7, ['f', 'g'], ['tool_calls']])
  assert.deepEqual([t.usage.input_uncached, t.usage.cache_read, t.usage.cache_write], [10, 90, 20])
})

test('39 L without include_usage no chunk has usage or lacks choices', async () => {
  const model = plays('stream-plain', (c) => c.sse(ant.stream([{ text: ['hello'] }])))
  const { items, error } = await drain(await w.openai().chat.completions.create({ model, stream: true, ...ask }))
  assert.equal(error, undefined)
  assert.ok(items.every((i) => i.choices.length === 1 && !i.usage))
  assert.equal(items.map((i) => i.choices[0].delta.content ?? '').join(''), 'hello')
})

test('25 L a translated stream is not held back', async () => {
  let go
  const all = ant.stream([{ text: ['one', 'two'] }])
  const at = all.findIndex((e) => e.includes('"two"'))
  const model = plays('flush', async (c) => {
    c.open()
    await c.write(all.slice(0, at))
    await new Promise((resolve) => (go = resolve))
    await c.write(all.slice(at))
    c.res.end()
  })
  // The rest comes only once the client has "one": this would hang otherwise.
  const a = await w.chat({ model, stream: true }, { onData: (p) => p.includes('one') && go() })
  assert.ok(a.clean)
  assert.match(a.text, /two/)
})

test('L an error in the middle is an error event and no clean end', async () => {
  const begun = ant.stream([{ text: ['half'] }], { end: false })
  const model = plays('error', (c) => c.sse([...begun, ant.event('error', { error: { type: 'overloaded_error', message: 'Overloaded' } })]))
  const a = await w.chat({ model, stream: true })
  assert.doesNotMatch(a.text, /\[DONE\]/)
  const last = a.text.split('\n\n').filter(Boolean).at(-1)
  assert.match(last, /^data: \{"error":\{"message":/)
  const { error } = JSON.parse(last.slice(6))
  assert.deepEqual([error.type, error.code], ['server_error', 'overloaded_error'])
  assert.equal((await w.trace(a)).outcome, 'failed')
  const seen = await drain(await w.openai().chat.completions.create({ model, stream: true, ...ask }))
  assert.ok(seen.error instanceof OpenAI.APIError)
  const cut = plays('cut', async (c) => {
    c.open()
    await c.write(begun)
    await c.cut()
  })
  const b = await w.chat({ model: cut, stream: true })
  assert.equal(b.clean, false)
  assert.match(b.text, /data: \{"error":/)
})

test('55 L half an answer keeps its text, and the count that message_start makes up is no usage', async () => {
  const begun = ant.stream([{ text: ['half'] }], { end: false })
  const error = plays('half-error', (c) => c.sse([...begun, ant.event('error', { error: { type: 'api_error', message: 'x' } })]))
  const cut = plays('half-cut', async (c) => {
    c.open()
    await c.write(begun)
    await c.cut()
  })
  for (const model of [error, cut]) {
    for (const ask of [() => w.chat({ model, stream: true }), () => w.send('messages', { body: JSON.stringify({ model, max_tokens: 9, stream: true, messages: [] }) })]) {
      const a = await ask()
      const t = await w.trace(a)
      assert.equal(t.outcome, 'failed')
      assert.match(JSON.stringify(await w.recorded(a)), /"half"/)
      assert.equal(t.tokens_out, null, `${model}, ${t.endpoint}: ${JSON.stringify(t.usage_raw)}`)
    }
  }
})

test('20 71 a model whose provider lacks the endpoint is a 404 that says so', async () => {
  const model = plays('lacking', (c) => c.json(ant.message([])))
  const openai = w.script('lacking', (c) => c.json({}))
  for (const path of ['responses', 'embeddings', 'completions', 'moderations', 'images/generations', 'audio/speech']) {
    const e = envelope(await w.send(path, { body: JSON.stringify({ model, input: 'x', prompt: 'x' }) }), 404, 'invalid_request_error', 'model_not_found')
    assert.match(e.message, new RegExp(`/${path}`))
  }
  const a = await w.send('messages', { body: JSON.stringify({ model: openai, max_tokens: 9, messages: [] }) })
  assert.deepEqual([a.status, JSON.parse(a.text).error.type], [404, 'not_found_error'])
  assert.equal(w.up.seen(model).length + w.up.seen(openai).length, 0)
})

test('L 21 errors of Anthropic in OpenAI\'s envelope', async () => {
  for (const [from, type, status, code] of [
    [400, 'invalid_request_error', 400, undefined], [413, 'request_too_large', 413, undefined], [404, 'not_found_error', 404, 'model_not_found'], [429, 'rate_limit_error', 429, 'rate_limit_exceeded'],
    [401, 'authentication_error', 502, 'provider_auth_error'], [402, 'billing_error', 502, 'provider_auth_error'], [403, 'permission_error', 502, 'provider_auth_error'],
    [500, 'api_error', 500, undefined], [504, 'timeout_error', 504, undefined], [529, 'overloaded_error', 503, 'overloaded_error'],
  ]) {
    const model = plays(`fault-${from}`, (c) => c.json(ant.error(type, 'because'), from, [['retry-after', '2'], ['request-id', 'req_ant']]))
    for (const stream of [false, true]) {
      const a = await w.chat({ model, stream })
      const got = JSON.parse(a.text)
      assert.equal(a.status, status, `${from}: ${a.text}`)
      assert.deepEqual(Object.keys(got.error).sort(), ['code', 'message', 'param', 'type'], a.text)
      if (code !== undefined) assert.equal(got.error.code, code)
      assert.equal(got.error.type, status >= 500 ? 'server_error' : from === 429 ? got.error.type : 'invalid_request_error', a.text)
      if (from === 429) assert.equal(a.headers['retry-after'], '2')
      if (code !== 'provider_auth_error') assert.match(got.error.message, /because/)
    }
  }
})

test('L LangChain and ai read it as OpenAI\'s', async () => {
  const model = plays('clients', (c) => (c.asked.stream ? c.sse(busy) : c.json(ant.message([ant.text('hello')]))))
  assert.equal((await new ChatOpenAI({ model, apiKey: w.key, configuration: { baseURL: w.base }, maxRetries: 0 }).invoke('hi')).content, 'hello')
  const result = streamText({ model: createOpenAI({ baseURL: w.base, apiKey: w.key }).chat(model), prompt: 'hi', maxRetries: 0 })
  assert.equal(await result.text, 'hello 🐎x')
  const usage = await result.usage
  assert.deepEqual([usage.inputTokens, usage.outputTokens], [120, 7])
})

test('64 L a client that leaves cancels Anthropic\'s call', async () => {
  const model = plays('gone', async (c) => {
    c.open()
    await c.write(ant.stream([{ text: ['half'] }], { end: false }))
    c.left = await c.gone
  })
  const controller = new AbortController()
  const stream = await w.openai().chat.completions.create({ model, stream: true, ...ask }, { signal: controller.signal })
  await stream[Symbol.asyncIterator]().next()
  controller.abort()
  const t = await w.traceOf(model)
  assert.equal(t.outcome, 'canceled')
  assert.ok(w.up.seen(model)[0].left)
})
