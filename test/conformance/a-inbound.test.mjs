// Section A: inbound, authentication, routing.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { envelope, socket } from './lib/http.mjs'
import { completion, eventually, stream, world } from './lib/world.mjs'

const w = await world('a', { keys: [{ name: 'narrow', models: ['a/plain/narrow', 'loom-demo'] }] })
const narrow = w.keys['conf-a/narrow']

test('1 a key is taken from either header, whatever the case of the scheme', async () => {
  const model = w.script('keys', (c) => c.json(completion()))
  const key = w.key
  for (const headers of [
    { authorization: `Bearer ${key}` },
    { authorization: `bearer ${key}` },
    { authorization: `BEARER ${key}` },
    { 'x-api-key': key },
    { authorization: '', 'x-api-key': key },
    { authorization: `Bearer ${key}`, 'x-api-key': key },
  ]) {
    const a = await w.chat({ model }, { key: '', headers })
    assert.equal(a.status, 200, `${Object.entries(headers)}: ${a.text}`)
  }
  assert.equal((await w.send('models', { key: '', headers: { 'x-api-key': key }, method: 'GET' })).status, 200)
  envelope(await w.chat({ model }, { key: '', headers: { authorization: `Basic ${key}` } }), 401, 'auth_error', 'invalid_api_key')
})

test('2 a bad key beats a bad body, and nothing reaches the provider', async () => {
  const model = w.script('bad-key', (c) => c.json(completion()))
  for (const body of ['{', '', JSON.stringify({ model })]) {
    envelope(await w.chat(body, { key: 'sk-wrong' }), 401, 'auth_error', 'invalid_api_key')
  }
  envelope(await w.chat({ model }, { key: '' }), 401, 'auth_error', 'invalid_api_key')
  assert.equal(w.up.seen(model).length, 0)
})

test('2 the answer to a bad key does not wait for the body', async () => {
  const { host } = new URL(w.root)
  const text = await socket(
    w.root,
    `POST /v1/chat/completions HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer sk-wrong\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n{`,
  )
  assert.match(text, /^HTTP\/1\.1 401 /)
  assert.match(text, /invalid_api_key/)
})

test('3 with and without /v1, and a slash at the end of base_url or path', async () => {
  const model = w.script('paths', (c) => c.json(completion()))
  for (const baseURL of [w.base, `${w.base}/`, w.root, `${w.root}/`]) {
    const answer = await w.openai({ baseURL }).chat.completions.create({ model, messages: [] })
    assert.equal(answer.choices[0].message.content, 'hello', baseURL)
  }
  for (const path of ['/v1/chat/completions/', '/chat/completions/', '/v1/chat/completions', '/chat/completions']) {
    assert.equal((await w.send(path, { body: JSON.stringify({ model, messages: [] }) })).status, 200, path)
  }
  assert.deepEqual(new Set(w.up.seen(model).map((c) => c.url)), new Set(['/v1/chat/completions']))
})

test('4 models come from the catalogue, as far as the key reaches', async () => {
  const client = w.openai({ apiKey: narrow })
  const ids = []
  for await (const m of client.models.list()) {
    assert.equal(m.object, 'model')
    assert.equal(typeof m.created, 'number')
    assert.equal(typeof m.owned_by, 'string')
    ids.push(m.id)
  }
  assert.deepEqual(ids, ['loom-demo'])
  assert.equal((await client.models.retrieve('loom-demo')).id, 'loom-demo')
  const raw = await w.send('models', { method: 'GET', key: narrow })
  assert.equal(JSON.parse(raw.text).object, 'list')
  envelope(await w.send('models/loom-demo-large', { method: 'GET', key: narrow }), 404, 'invalid_request_error', 'model_not_found')
})

test('4 the JSON model chooses the provider', async () => {
  const one = w.script('route', (c) => c.json(completion('plain')))
  const two = w.script('route', (c) => c.json(completion('openai')), 'openai')
  for (const [model, want] of [[one, 'plain'], [two, 'openai']]) {
    const a = await w.openai().chat.completions.create({ model, messages: [] })
    assert.equal(a.choices[0].message.content, want)
  }
  assert.equal(w.up.seen(one)[0].headers.authorization, 'Bearer sk-provider-plain')
  assert.equal(w.up.seen(two)[0].headers.authorization, 'Bearer sk-provider-openai')
})

// Key order, white space, unknown and repeated keys, escapes, large numbers, odd bytes.
const odd = (model, rest = '') =>
  Buffer.from(`\t{ "z" : 1.0,"n":12345678901234567890, "e":1E+2, "esc":"\\/\\u0041\\ud83d\\ude00", "dup":1,"dup":2,\r\n "u":"žlutý 🐎" ${rest}, "model" : "${model}" , "messages":[ ] }\n`)

test('5 a body arrives byte for byte', async () => {
  const model = w.script('bytes', (c) => c.json(completion()))
  const body = Buffer.concat([odd(model).subarray(0, -2), Buffer.from(',"raw":"'), Buffer.from([0xc3, 0x28, 0xff, 0x80]), Buffer.from('"}')])
  assert.equal((await w.chat(body)).status, 200)
  assert.equal(w.up.seen(model)[0].body.compare(body), 0)
})

test('5 what must be added is spliced in, every other byte stays', async () => {
  const model = w.script('splice', (c) => c.sse(stream()), 'openai')
  const body = odd(model, ', "stream" : true')
  assert.equal((await w.chat(body)).status, 200)
  const got = w.up.seen(model)[0].body.toString()
  assert.notEqual(got, body.toString(), 'nothing was added')
  assert.equal(got.replace('"stream_options":{"include_usage":true},', ''), body.toString())
})

test('6 an image of 30 MB arrives whole', async () => {
  const model = w.script('big', (c) => c.json(completion()))
  const url = `data:image/png;base64,${'QUJD'.repeat(30 << 18)}`
  await w.openai().chat.completions.create({ model, messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }] })
  assert.equal(w.up.seen(model)[0].asked.messages[0].content[0].image_url.url.length, url.length)
})

test('6 over the limit is a 413 that clients can read, not a reset', async () => {
  const model = w.script('too-big', (c) => c.json(completion()))
  const content = 'x'.repeat(40 << 20)
  await assert.rejects(w.openai().chat.completions.create({ model, messages: [{ role: 'user', content }] }), (err) => {
    assert.equal(err.status, 413, String(err))
    assert.equal(err.code, 'request_too_large')
    return true
  })
  // In chunks, without a length.
  async function* body() {
    yield Buffer.from(`{"model":"${model}","messages":[{"role":"user","content":"`)
    for (let i = 0; i < 40; i++) yield Buffer.alloc(1 << 20, 'x')
    yield Buffer.from('"}]}')
  }
  const res = await fetch(`${w.base}/chat/completions`, { method: 'POST', duplex: 'half', body: ReadableStream.from(body()), headers: { authorization: `Bearer ${w.key}` } })
  assert.equal(res.status, 413)
  assert.equal((await res.json()).error.code, 'request_too_large')
  assert.equal(w.up.seen(model).length, 0)
})

test('6 a client that closes its connection has time to read the 413 while it still sends', async () => {
  const { hostname, port } = new URL(w.root)
  const conn = connect({ port: Number(port), host: hostname, allowHalfOpen: true })
  await once(conn, 'connect')
  let got = ''
  let reset
  conn.on('data', (p) => (got += p))
  conn.on('error', (err) => (reset ??= err))
  conn.write(`POST /v1/chat/completions HTTP/1.1\r\nHost: loom\r\nAuthorization: Bearer ${w.key}\r\nConnection: close\r\nContent-Length: ${40 << 20}\r\n\r\n`)
  for (let i = 0; i < 15 && !reset; i++) {
    conn.write(Buffer.alloc(64 << 10, 'x'))
    await sleep(20)
  }
  conn.destroy()
  assert.match(got, /^HTTP\/1\.1 413 [^]*request_too_large/)
  assert.equal(reset, undefined)
})

test('7 no quick stream of a burst is cut', async () => {
  const model = w.script('burst', (c) => c.sse([stream().join('')]))
  let whole = 0
  const one = async () => {
    for (let i = 0; i < 25; i++) {
      const a = await w.chat({ model, stream: true })
      whole += a.clean && a.text === stream().join('') ? 1 : 0
    }
  }
  await Promise.all(Array.from({ length: 16 }, one))
  assert.equal(whole, 400)
})

test('8 the gateway does not retry by itself', async () => {
  const model = w.script('no-retry', (c) => c.json({ error: { message: 'x', type: 'server_error', param: null, code: null } }, 500))
  const reset = w.script('no-retry-reset', (c) => c.reset())
  await assert.rejects(w.openai().chat.completions.create({ model, messages: [] }), { status: 500 })
  await assert.rejects(w.openai().chat.completions.create({ model: reset, messages: [] }), { status: 502 })
  // Not even where a header says that it could be done.
  await assert.rejects(w.openai().chat.completions.create({ model: reset, messages: [] }, { headers: { 'idempotency-key': 'i' } }), { status: 502 })
  await eventually('both traces', async () => (await w.traceOf(reset)).attempts === 1)
  assert.equal(w.up.seen(model).length, 1)
  assert.equal(w.up.seen(reset).length, 2)
})
