// Section B: headers, in both directions.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { completion, done, stream, world } from './lib/world.mjs'

const w = await world('b')

/** Asks with headers as they are, and gives back what the provider was sent. */
async function sent(name, headers, options = {}) {
  const model = w.script(name, (c) => c.json(completion()))
  const a = await w.chat({ model }, { headers, ...options })
  assert.equal(a.status, 200, a.text)
  return w.up.seen(model)[0]
}

test('9 what belongs to the connection or the tenant is dropped', async () => {
  const call = await sent(
    'drop',
    {
      connection: 'x-private, keep-alive', 'x-private': '1', 'keep-alive': 'timeout=5', 'proxy-authorization': 'Basic eA==', 'proxy-connection': 'keep-alive',
      te: 'trailers', upgrade: 'h2c', cookie: 'session=1', 'x-api-key': w.key, 'api-key': w.key,
    },
  )
  for (const name of ['x-private', 'keep-alive', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'upgrade', 'cookie', 'x-api-key', 'api-key', 'transfer-encoding']) {
    assert.equal(call.headers[name], undefined, name)
  }
  assert.ok(!call.raw.join('\n').includes(w.key), 'the key of the tenant reached the provider')
  assert.equal(call.names.filter((n) => n.toLowerCase() === 'content-length').length, 1)
  assert.equal(Number(call.headers['content-length']), call.body.length)
})

test('9 the length is counted anew for a body that came in chunks', async () => {
  const model = w.script('chunked', (c) => c.json(completion()))
  const body = JSON.stringify({ model, messages: [] })
  const res = await fetch(`${w.base}/chat/completions`, { method: 'POST', duplex: 'half', body: new Blob([body]).stream(), headers: { authorization: `Bearer ${w.key}` } })
  assert.equal(res.status, 200)
  await res.text()
  const [call] = w.up.seen(model)
  assert.equal(call.headers['content-length'], String(body.length))
  assert.equal(call.headers['transfer-encoding'], undefined)
})

test('10 host and credential are those of the provider', async () => {
  const call = await sent('swap', { 'x-api-key': w.key }, { key: '' })
  assert.equal(call.headers.host, `127.0.0.1:${w.up.port}`)
  assert.equal(call.headers.authorization, 'Bearer sk-provider-plain')
})

test('11 a tenant\'s organization and project go no further', async () => {
  const model = w.script('org', (c) => c.json(completion()))
  const client = w.openai({ organization: 'org-tenant', project: 'proj-tenant' })
  await client.chat.completions.create({ model, messages: [] })
  const [call] = w.up.seen(model)
  assert.equal(call.headers['openai-organization'], undefined)
  assert.equal(call.headers['openai-project'], undefined)
})

test('12 what a provider needs to know is forwarded as it is', async () => {
  const headers = {
    'content-type': 'application/json; charset=UTF-8; x="y"', accept: 'text/event-stream, */*;q=0.1', 'openai-beta': 'assistants=v2', 'idempotency-key': 'idem-1',
    'x-client-request-id': 'mine-1', 'anthropic-version': '2023-06-01', 'anthropic-beta': 'a,b', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    'x-stainless-lang': 'js', 'x-stainless-retry-count': '1', 'user-agent': 'mine/1.0 (x)',
  }
  const call = await sent('forward', headers)
  for (const [name, value] of Object.entries(headers)) assert.equal(call.headers[name], value, name)
})

test('12 the address of a tenant goes no further', async () => {
  const call = await sent('ip', { 'x-forwarded-for': '203.0.113.7', forwarded: 'for=203.0.113.7', 'x-real-ip': '203.0.113.7', via: '1.1 x' })
  assert.ok(!call.raw.join('\n').includes('203.0.113.7'), call.raw.join('\n'))
  assert.equal(call.headers.via, undefined)
})

test('12 the client\'s own headers are there, its version of Node too', async () => {
  const model = w.script('sdk', (c) => c.json(completion()))
  await w.openai().chat.completions.create({ model, messages: [] })
  const [call] = w.up.seen(model)
  assert.match(call.headers['user-agent'], /^OpenAI\/JS 6\./)
  assert.equal(call.headers['x-stainless-lang'], 'js')
  assert.equal(call.headers['x-stainless-retry-count'], '0')
})

test('13 gzip answers reach the client decoded', async () => {
  const whole = JSON.stringify(completion('zip'))
  const plain = w.script('gzip', (c) => c.send(200, [['content-type', 'application/json'], ['content-encoding', 'gzip']], gzipSync(whole)))
  const a = await w.chat({ model: plain }, { headers: { 'accept-encoding': 'gzip, deflate, br' } })
  assert.equal(a.text, whole)
  assert.equal(a.headers['content-encoding'], undefined)
  assert.equal(Number(a.headers['content-length']), whole.length)
  assert.equal((await w.recorded(a)).choices[0].message.content, 'zip')

  const streamed = w.script('gzip-stream', (c) => {
    c.open([['content-encoding', 'gzip']])
    c.res.end(gzipSync(stream('zip').join('')))
  })
  const s = await w.openai().chat.completions.create({ model: streamed, stream: true, messages: [] })
  let text = ''
  for await (const part of s) text += part.choices[0].delta.content ?? ''
  assert.equal(text, 'zip')
  assert.doesNotMatch(w.up.seen(plain)[0].headers['accept-encoding'] ?? '', /br|deflate/)
})

test('13 an encoding nobody asked for is passed on with its name', async () => {
  const body = brotliCompressSync(JSON.stringify(completion('br')))
  const model = w.script('brotli', (c) => c.send(200, [['content-type', 'application/json'], ['content-encoding', 'br']], body))
  const a = await w.chat({ model })
  assert.equal(a.headers['content-encoding'], 'br')
  assert.equal(a.body.compare(body), 0)
})

const passed = [
  ['content-type', 'application/json; charset=utf-8'], ['retry-after', '1'], ['retry-after-ms', '900'], ['x-should-retry', 'true'], ['x-ratelimit-limit-requests', '60'],
  ['x-ratelimit-remaining-tokens', '149984'], ['x-ratelimit-reset-tokens', '6m0s'], ['openai-processing-ms', '12'], ['openai-version', '2020-10-01'],
  ['request-id', 'req_a'], ['anthropic-ratelimit-requests-remaining', '3'], ['apim-request-id', 'apim-1'], ['x-ms-region', 'Sweden Central'],
]

test('14 status, content type, and what clients decide by are passed', async () => {
  for (const status of [200, 201, 400, 404, 409, 422, 429, 500, 503]) {
    const model = w.script(`pass-${status}`, (c) => c.send(status, passed, JSON.stringify(status < 300 ? completion() : { error: { message: 'm', type: 't', param: null, code: 'c' } })))
    const a = await w.chat({ model })
    assert.equal(a.status, status)
    for (const [name, value] of passed) assert.equal(a.headers[name], value, `${name} of ${status}`)
  }
  const model = w.script('pass-stream', (c) => c.sse(stream(), { headers: passed.filter(([n]) => n !== 'content-type') }))
  const a = await w.chat({ model, stream: true })
  assert.equal(a.headers['content-type'], 'text/event-stream; charset=utf-8')
  for (const [name, value] of passed.slice(1)) assert.equal(a.headers[name], value, `${name} of a stream`)
})

const dropped = [
  ['set-cookie', '__cf_bm=one; path=/'], ['set-cookie', 'two=2'], ['openai-organization', 'org-owner'], ['alt-svc', 'h3=":443"'], ['strict-transport-security', 'max-age=1'],
  ['server', 'cloudflare'], ['connection', 'x-hop'], ['x-hop', '1'], ['proxy-authenticate', 'Basic'], ['keep-alive', 'timeout=9'],
]

test('15 what tells of the provider\'s account or connection is dropped', async () => {
  const plain = w.script('cookie', (c) => c.json(completion(), 200, dropped))
  const fault = w.script('cookie-error', (c) => c.json({ error: { message: 'm', type: 't', param: null, code: null } }, 400, dropped))
  const streamed = w.script('cookie-stream', (c) => c.sse(stream(), { headers: dropped }))
  for (const a of [await w.chat({ model: plain }), await w.chat({ model: fault }), await w.chat({ model: streamed, stream: true })]) {
    for (const name of ['set-cookie', 'openai-organization', 'alt-svc', 'strict-transport-security', 'server', 'x-hop', 'proxy-authenticate']) {
      assert.equal(a.headers[name], undefined, name)
    }
    assert.doesNotMatch(a.headers['keep-alive'] ?? '', /timeout=9/)
  }
})

test('16 every answer has a request id, the provider\'s where it gave one', async () => {
  const given = w.script('id', (c) => c.json(completion(), 200, [['x-request-id', 'req_provider']]))
  const none = w.script('no-id', (c) => c.json(completion()))
  const answer = await w.openai().chat.completions.create({ model: given, messages: [] })
  assert.equal(answer._request_id, 'req_provider')
  const a = await w.chat({ model: none })
  assert.match(a.headers['x-request-id'], /^req_/)
  assert.match(a.headers['x-loom-trace-id'], /^[0-9a-f-]{36}$/)
  await assert.rejects(w.openai({ apiKey: 'sk-wrong' }).chat.completions.create({ model: none, messages: [] }), (err) => /^req_/.test(err.requestID))
  for (const path of ['/', '/v1/nothing', '/healthz']) {
    const any = await w.send(path, { method: 'GET' })
    if (path !== '/healthz') assert.ok(any.headers['x-request-id'], path)
  }
})

test('17 a stream is neither cached, buffered nor compressed on its way', async () => {
  const model = w.script('sse', (c) => c.sse(stream()))
  const a = await w.chat({ model, stream: true }, { headers: { 'accept-encoding': 'gzip, deflate, br' } })
  assert.equal(a.headers['cache-control'], 'no-cache')
  assert.equal(a.headers['x-accel-buffering'], 'no')
  assert.equal(a.headers['content-encoding'], undefined)
  assert.ok(a.text.endsWith(done))
})
