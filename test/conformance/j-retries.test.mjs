// Section J: what clients retry on, and which headers they read. Each answer is a provider's,
// seen through the gateway; what counts is how often the provider is asked, and when.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createOpenAI } from '@ai-sdk/openai'
import { ChatOpenAI } from '@langchain/openai'
import { generateText } from 'ai'
import { completion, world } from './lib/world.mjs'

const w = await world('j')
const fault = { error: { message: 'not now', type: 'server_error', param: null, code: null } }

/** A provider that answers once as given, and then well. */
const once = (name, status, headers = []) =>
  w.script(name, (c) => (w.up.seen(c.key).length === 1 ? c.json(fault, status, headers) : c.json(completion())))
const always = (name, status, headers = []) => w.script(name, (c) => c.json(fault, status, headers))
const calls = (model) => w.up.seen(model)

test('70 openai: statuses that are retried, and those that are not', async () => {
  const client = w.openai({ maxRetries: 2 })
  for (const status of [408, 409, 429, 500, 503]) {
    const model = once(`retry-${status}`, status, [['retry-after-ms', '10']])
    assert.equal((await client.chat.completions.create({ model, messages: [] })).choices[0].message.content, 'hello')
    assert.equal(calls(model).length, 2, String(status))
  }
  for (const status of [400, 404, 422]) {
    const model = always(`no-retry-${status}`, status)
    await assert.rejects(client.chat.completions.create({ model, messages: [] }), { status })
    assert.equal(calls(model).length, 1, String(status))
  }
})

test('70 14 openai: retry-after-ms and retry-after are what the client waits', async () => {
  for (const [name, headers, least, most] of [
    ['ms', [['retry-after-ms', '700']], 600, 2500],
    ['s', [['retry-after', '1']], 900, 3500],
    ['both', [['retry-after-ms', '50'], ['retry-after', '9']], 40, 2000],
  ]) {
    const model = once(`wait-${name}`, 429, headers)
    await w.openai({ maxRetries: 1 }).chat.completions.create({ model, messages: [] })
    const [first, second] = calls(model)
    const waited = second.since - first.since
    assert.ok(waited >= least && waited <= most, `${name}: ${waited} ms`)
  }
})

test('71 openai: x-should-retry decides against the status, both ways', async () => {
  const no = always('should-not', 503, [['x-should-retry', 'false']])
  await assert.rejects(w.openai({ maxRetries: 2 }).chat.completions.create({ model: no, messages: [] }), { status: 503 })
  assert.equal(calls(no).length, 1)
  const yes = once('should', 400, [['x-should-retry', 'true'], ['retry-after-ms', '10']])
  await w.openai({ maxRetries: 2 }).chat.completions.create({ model: yes, messages: [] })
  assert.equal(calls(yes).length, 2)
})

test('70 openai: an overloaded gateway is retried, each with its count', async () => {
  const model = w.script('count', (c) => (w.up.seen(c.key).length < 3 ? c.cut() : c.json(completion())))
  await w.openai({ maxRetries: 2 }).chat.completions.create({ model, messages: [] })
  assert.deepEqual(calls(model).map((c) => c.headers['x-stainless-retry-count']), ['0', '1', '2'])
})

test('70 ai: retries on 429 and after retry-after-ms', async () => {
  const model = once('ai', 429, [['retry-after-ms', '20']])
  const { text } = await generateText({ model: createOpenAI({ baseURL: w.base, apiKey: w.key }).chat(model), prompt: 'hi' })
  assert.equal(text, 'hello')
  assert.equal(calls(model).length, 2)
  const refused = always('ai-400', 400)
  await assert.rejects(generateText({ model: createOpenAI({ baseURL: w.base, apiKey: w.key }).chat(refused), prompt: 'hi' }))
  assert.equal(calls(refused).length, 1)
})

test('70 LangChain: retries on 503, not on 400 or a spent budget', async () => {
  const chat = (model) => new ChatOpenAI({ model, apiKey: w.key, configuration: { baseURL: w.base }, maxRetries: 1 })
  const model = once('lc', 503)
  assert.equal((await chat(model).invoke('hi')).content, 'hello')
  assert.equal(calls(model).length, 2)
  for (const [name, body, status] of [['lc-400', fault, 400], ['lc-quota', { error: { ...fault.error, type: 'insufficient_quota', code: 'insufficient_quota' } }, 429]]) {
    const refused = w.script(name, (c) => c.json(body, status))
    await assert.rejects(chat(refused).invoke('hi'))
    assert.equal(calls(refused).length, 1, name)
  }
})

test('71 no refusal of the gateway\'s own is one that clients retry', async () => {
  let asked = 0
  const counting = async (url, init) => {
    asked++
    return fetch(url, init)
  }
  for (const body of [{ model: 'j-nothing' }, {}, { model: 7 }]) {
    asked = 0
    await assert.rejects(w.openai({ maxRetries: 2, fetch: counting }).chat.completions.create({ messages: [], ...body }), (err) => err.status < 500 && err.status !== 409)
    assert.equal(asked, 1, JSON.stringify(body))
  }
  const a = await w.chat({ model: 'j/dead/x' })
  assert.ok(Number(a.headers['retry-after'] ?? 0) <= 60)
})

test('72 an idempotency key is forwarded and nothing is answered from memory', async () => {
  const model = w.script('idem', (c) => c.json(completion(String(w.up.seen(c.key).length))))
  const ids = []
  for (const want of ['1', '2']) {
    const { data, response } = await w.openai().chat.completions.create({ model, messages: [] }, { headers: { 'idempotency-key': 'same' } }).withResponse()
    assert.equal(data.choices[0].message.content, want)
    ids.push(response.headers.get('x-loom-trace-id'))
  }
  assert.deepEqual(calls(model).map((c) => c.headers['idempotency-key']), ['same', 'same'])
  assert.notEqual(ids[0], ids[1])
  const plain = w.script('no-idem', (c) => c.json(completion()))
  await w.openai().chat.completions.create({ model: plain, messages: [] })
  assert.equal(calls(plain)[0].headers['idempotency-key'], undefined)
})

test('72 each retry of a client is a trace of its own', async () => {
  const model = once('two-traces', 500, [['retry-after-ms', '10']])
  const { response } = await w.openai({ maxRetries: 1 }).chat.completions.create({ model, messages: [] }).withResponse()
  const t = await w.trace(response)
  assert.equal(t.outcome, 'completed')
  assert.equal(t.attempts, 1)
})

test('73 the content type comes through, so that JSON is an object', async () => {
  for (const type of ['application/json', 'application/json; charset=utf-8', 'application/vnd.api+json; version=1']) {
    const model = w.script(`type-${type.length}`, (c) => c.send(200, [['content-type', type]], JSON.stringify(completion())))
    const answer = await w.openai().chat.completions.create({ model, messages: [] })
    assert.equal(answer.choices?.[0].message.content, 'hello', type)
    assert.equal((await w.chat({ model })).headers['content-type'], type)
  }
})
