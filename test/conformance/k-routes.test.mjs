// What a route and a provider may be told: retries, fallbacks, times, account headers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { envelope } from './lib/http.mjs'
import { completion, eventually, stream, text, world } from './lib/world.mjs'

const to = (...names) => names.map((n) => ({ provider: `r-${n}` }))
const w = await world('r', {
  via: (url) => ({
    owned: { kind: 'openai', base_url: `${url}/v1`, secret: 'sk-owned', organization: 'org-owner', project: 'proj-owner' },
    silent: { kind: 'openai', base_url: `${url}/v1`, secret: 'sk-silent', inject_usage: 'off' },
    asking: { kind: 'compatible', base_url: `${url}/v1`, secret: 'sk-asking', inject_usage: 'on' },
    sick: { kind: 'compatible', base_url: `${url}/sick`, secret: 'sk-sick' },
    well: { kind: 'compatible', base_url: `${url}/well`, secret: 'sk-well' },
  }),
  routes: [
    { model: 'r-retry-*', targets: to('plain'), retries: 2 },
    { model: 'r-fallback-*', targets: to('dead', 'plain') },
    { model: 'r-over-*', targets: to('sick', 'well') },
    { model: 'r-weighted', targets: [{ provider: 'r-sick', weight: 1 }, { provider: 'r-well', weight: 3 }], balance: 'weighted' },
    { model: 'r-slow-*', targets: to('plain'), header_timeout: '300ms', idle_timeout: '300ms' },
    { model: 'r-whole-*', targets: to('plain'), timeout: '500ms' },
  ],
})
const on = (name, script) => (w.up.on(name, script), name)

test('11 the owner\'s organization and project stand in for the tenant\'s', async () => {
  const model = w.script('org', (c) => c.json(completion()), 'owned')
  await w.openai({ organization: 'org-tenant', project: 'proj-tenant' }).chat.completions.create({ model, messages: [] })
  const [call] = w.up.seen(model)
  assert.equal(call.headers['openai-organization'], 'org-owner')
  assert.equal(call.headers['openai-project'], 'proj-owner')
})

test('41 42 injection can be switched by provider', async () => {
  const off = w.script('off', (c) => c.sse(stream()), 'silent')
  const yes = w.script('on', (c) => c.sse(stream()), 'asking')
  for (const model of [off, yes]) assert.equal((await w.chat({ model, stream: true })).text, stream().join(''))
  assert.equal(w.up.seen(off)[0].asked.stream_options, undefined)
  assert.equal(w.up.seen(yes)[0].asked.stream_options.include_usage, true)
})

test('8 a route that retries sends the very same body again', async () => {
  const model = on('r-retry-1', (c) => (w.up.seen(c.key).length < 3 ? c.json({ error: { message: 'x', type: 'server_error', param: null, code: null } }, 503) : c.json(completion())))
  const a = await w.chat({ model })
  assert.equal(a.status, 200, a.text)
  const calls = w.up.seen(model)
  assert.equal(calls.length, 3)
  assert.equal(new Set(calls.map((c) => c.text)).size, 1)
  const t = await w.trace(a)
  assert.deepEqual([t.outcome, t.attempts], ['completed', 3])
  assert.deepEqual(t.attempts_detail.map((x) => x.status), [503, 503, 200])
})

test('23 a target that cannot be reached gives way to the next, before the first byte', async () => {
  const model = on('r-fallback-1', (c) => (c.asked.stream ? c.sse(stream()) : c.json(completion())))
  for (const streams of [false, true]) {
    const a = await w.chat({ model, stream: streams })
    assert.equal(a.status, 200, a.text)
    const t = await w.trace(a)
    assert.equal(t.attempts, 2)
    assert.deepEqual(t.attempts_detail.map((x) => x.provider), ['r-dead', 'r-plain'])
    assert.equal(t.provider, 'r-plain')
  }
})

test('23 a stream that has begun is never begun again elsewhere', async () => {
  const model = on('r-over-begun', async (c) => {
    c.open()
    await c.write([text('a')])
    await c.cut()
  })
  const a = await w.chat({ model, stream: true })
  assert.equal(a.clean, false)
  assert.equal(w.up.seen(model).length, 1)
})

test('23 a provider that is down gives way, one that refuses the request does not', async () => {
  const down = on('r-over-down', (c) => (c.path.startsWith('/sick') ? c.json({ error: { message: 'x', type: 'server_error', param: null, code: null } }, 503) : c.json(completion('well'))))
  const a = await w.chat({ model: down })
  assert.equal(JSON.parse(a.text).choices?.[0].message.content, 'well', a.text)
  const refused = on('r-over-400', (c) => c.json({ error: { message: 'bad', type: 'invalid_request_error', param: null, code: null } }, 400))
  assert.equal((await w.chat({ model: refused })).status, 400)
  assert.equal(w.up.seen(refused).length, 1)
})

test('K targets are drawn by weight', async () => {
  const model = on('r-weighted', (c) => c.json(completion(c.path.startsWith('/sick') ? 'one' : 'three')))
  const count = { one: 0, three: 0 }
  for (let i = 0; i < 60; i++) count[JSON.parse((await w.chat({ model })).text).choices[0].message.content]++
  assert.ok(count.one > 2 && count.three > count.one, JSON.stringify(count))
})

test('19 66 a provider that does not begin in time is a 504, and is let go', async () => {
  const model = on('r-slow-head', async (c) => (c.left = await c.gone))
  for (const streams of [false, true]) {
    const a = await w.chat({ model, stream: streams })
    envelope(a, 504, 'server_error', 'upstream_timeout')
  }
  await eventually('the calls are cancelled', () => w.up.seen(model).every((c) => c.left))
})

test('66 32 a provider that stops in the middle is cut by the idle timeout, and the client is told', async () => {
  const model = on('r-slow-middle', async (c) => {
    c.open()
    await c.write([text('a')])
    await c.gone
  })
  const a = await w.chat({ model, stream: true })
  assert.equal(a.clean, false)
  assert.match(a.text, /data: \{"error":\{"message":"[^"]+","type":"server_error","param":null,"code":"upstream_timeout"\}\}\n\n$/)
})

test('66 a slow but steady stream outlives the idle timeout', async () => {
  const model = on('r-slow-steady', (c) => c.sse(stream(), { pause: 150 }))
  assert.ok((await w.chat({ model, stream: true })).clean)
})

test('66 a time for the whole request holds', async () => {
  const model = on('r-whole-1', (c) => c.gone)
  const began = Date.now()
  envelope(await w.chat({ model }), 504, 'server_error', 'upstream_timeout')
  assert.ok(Date.now() - began < 3000)
})

test('19 71 nothing tells a client to wait for more than a minute', async () => {
  for (let i = 0; i < 30; i++) {
    const a = await w.chat({ model: 'r/dead/breaker' })
    assert.ok(a.status === 502 || a.status === 503, a.text)
    assert.ok(Number(a.headers['retry-after'] ?? 0) <= 60)
    if (a.status === 503) {
      envelope(a, 503, 'server_error', 'provider_unavailable')
      assert.ok(Number(a.headers['retry-after']) >= 1)
    }
  }
})
