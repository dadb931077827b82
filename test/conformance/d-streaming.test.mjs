// Section D: a stream on the wire.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:http2'
import { test } from 'node:test'
import OpenAI from 'openai'
import { socket } from './lib/http.mjs'
import { chunk, completion, delta, done, drain, pieces, stop, stream, text, usage, world } from './lib/world.mjs'

const w = await world('d')

/** The bytes of a stream, and what a client gets of it. */
async function through(name, bytes, { size, pause = 0, provider, body = {} } = {}) {
  const model = w.script(name, (c) => c.sse(size ? pieces(bytes, size) : [bytes], { pause }), provider)
  const a = await w.chat({ model, stream: true, ...body })
  assert.ok(a.clean, `${name} was cut`)
  return { a, model }
}

const content = async (model) => {
  let all = ''
  for await (const part of await w.openai().chat.completions.create({ model, stream: true, messages: [] })) all += part.choices[0]?.delta?.content ?? ''
  return all
}

test('25 each event is there before the next is sent, the head before the first', async () => {
  let next
  const step = () => new Promise((resolve) => (next = resolve))
  const events = [text('a'), text('b'), text('c')]
  const model = w.script('flush', async (c) => {
    c.open()
    for (const e of [...events, stop + done]) {
      await step()
      c.res.write(e)
    }
    c.res.end()
  })
  const seen = []
  const a = await w.chat({ model, stream: true }, { onHead: () => next(), onData: (piece) => { seen.push(piece); next() } })
  // The provider goes on only once the client has the event before: this would hang otherwise.
  assert.deepEqual(seen.slice(0, 3), events)
  assert.ok(a.clean)
})

test('25 the head comes long before a slow first token', async () => {
  const model = w.script('slow-head', async (c) => {
    c.open()
    await new Promise((r) => setTimeout(r, 400))
    await c.write(stream())
    c.res.end()
  })
  let head
  const began = performance.now()
  const a = await w.chat({ model, stream: true }, { onHead: () => (head = performance.now()) })
  assert.ok(a.pieces[0].at - head > 250, `first piece ${a.pieces[0].at - head} ms after the head, which took ${head - began}`)
})

const shapes = {
  lf: stream().join(''),
  crlf: stream().join('').replaceAll('\n', '\r\n'),
  cr: stream().join('').replaceAll('\n', '\r'),
  comments: `: hello\n\n${text('hello')}id: 7\nretry: 900\nevent: message\n${stop}: bye\n\n${done}`,
  'no space': stream().join('').replaceAll('data: ', 'data:'),
  'several data lines': `data: {"id":"x","choices":\ndata: [{"index":0,"delta":{"content":"hello"}}]}\n\n${stop}${done}`,
  'no last blank line': `${text('hello')}${stop}data: [DONE]`,
  'unknown fields': `foo: bar\n${text('hello')}\n\n\n${stop}${done}`,
  bom: `\ufeff${stream().join('')}`,
}

test('26 bytes are copied, whatever lines they make', async () => {
  const one = async (name, bytes, size) => {
    const { a } = await through(`bytes-${name}-${size}`.replaceAll(' ', '-'), bytes, { size, pause: 0 })
    assert.equal(a.text, bytes, `${name} in pieces of ${size || 'all'}`)
  }
  await Promise.all(Object.entries(shapes).flatMap(([name, bytes]) => [0, 1, 5].map((size) => one(name, bytes, size))))
})

test('27 reads end anywhere, in a character too', async () => {
  const say = 'žluťoučký 🐎 \u2028 日本'
  const bytes = stream(say).join('').replaceAll('\n', '\r\n')
  const one = async (size) => {
    const { a, model } = await through(`utf8-${size}`, bytes, { size })
    assert.equal(a.body.compare(Buffer.from(bytes)), 0)
    assert.equal(await content(model), say)
    assert.equal((await w.recorded(a)).choices[0].message.content, say)
  }
  await Promise.all([1, 2, 3, 7].map(one))
})

test('28 comments, unknown fields and every line end are read for the trace', async () => {
  for (const [name, bytes] of Object.entries(shapes)) {
    const { a } = await through(`trace-${name}`.replaceAll(' ', '-'), bytes)
    const t = await w.trace(a)
    assert.equal(t.outcome, 'completed', `${name}: ${t.error_class}`)
    assert.equal((await w.recorded(a)).choices[0].message.content, 'hello', name)
  }
})

test('28 an event may be several megabytes long', async () => {
  const big = 'x'.repeat(3 << 20)
  const { a, model } = await through('big-event', [text(big), stop, done].join(''))
  assert.equal(a.body.length, [text(big), stop, done].join('').length)
  assert.equal((await content(model)).length, big.length)
  assert.equal((await w.recorded(a)).choices[0].message.content.length, big.length)
})

test('28 29 what a stream without an end means', async () => {
  for (const [name, bytes, outcome] of [
    ['no-done', text('a') + stop, 'completed'],
    ['no-finish', text('a'), 'failed'],
    ['half-an-event', `${text('a')}data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`, 'failed'],
    ['done-only', done, 'completed'],
  ]) {
    const { a } = await through(`end-${name}`, bytes)
    assert.equal(a.text, bytes)
    const t = await w.trace(a)
    assert.equal(t.outcome, outcome, name)
    assert.equal(t.error_class, outcome === 'failed' ? 'upstream_truncated' : '')
  }
  const { model } = await through('end-sdk', text('a') + stop)
  assert.equal(await content(model), 'a')
})

test('30 the answer ends with the provider\'s, whose connection is used again', async () => {
  const model = w.script('reuse', (c) => {
    c.port = c.req.socket.remotePort
    return c.sse(stream())
  })
  for (let i = 0; i < 8; i++) assert.equal(await content(model), 'hello')
  const ports = new Set(w.up.seen(model).map((c) => c.port))
  assert.ok(ports.size <= 2, `${ports.size} connections for 8 calls one after the other`)
  // A provider that does not hang up after its end marker does not hold up the client.
  const lingering = w.script('linger', async (c) => {
    c.open()
    await c.write(stream())
    await c.gone
  })
  const began = performance.now()
  const a = await w.chat({ model: lingering, stream: true })
  assert.ok(a.clean)
  assert.ok(performance.now() - began < 1500, `${performance.now() - began} ms`)
})

test('30 what follows the end marker is passed on', async () => {
  const { a } = await through('after-done', `${stream().join('')}: x-trailer\n\n`)
  assert.ok(a.text.endsWith(`${done}: x-trailer\n\n`))
})

const faults = {
  'cut between events': [text('a'), (c) => c.cut()],
  'cut within an event': [`${text('a')}data: {"id`, (c) => c.cut()],
  'reset': [text('a'), (c) => c.reset()],
  'cut before the first event': ['', (c) => c.cut()],
}

test('31 32 a cut stream has no clean end, and a client sees an error', async () => {
  for (const [name, [bytes, fault]] of Object.entries(faults)) {
    const model = w.script(name.replaceAll(' ', '-'), async (c) => {
      c.open()
      if (bytes) await c.write([bytes])
      await fault(c)
    })
    const a = await w.chat({ model, stream: true })
    assert.equal(a.clean, false, `${name}: the body ended cleanly`)
    assert.doesNotMatch(a.text, /\[DONE\]/)
    const at = a.text.indexOf('data: {"error":')
    assert.ok(a.text.slice(0, at).startsWith(bytes), name)
    assert.match(a.text.slice(at), /^data: \{"error":\{"message":"[^"]+","type":"server_error","param":null,"code":"upstream_error"\}\}\n\n$/)
    const { error } = await drain(await w.openai().chat.completions.create({ model, stream: true, messages: [] }))
    assert.ok(error instanceof OpenAI.APIError || (/within/.test(name) && error), `${name}: the client saw ${error}`)
    const t = await w.trace(a)
    assert.equal(t.outcome, 'failed')
    assert.equal(t.error_class, 'upstream_cut')
  }
})

test('32 an event that was begun is ended before the error', async () => {
  const model = w.script('begun', async (c) => {
    c.open()
    await c.write([`${text('a')}data: {"id`])
    await c.cut()
  })
  const a = await w.chat({ model, stream: true })
  assert.match(a.text, /data: \{"id\n\ndata: \{"error":/)
})

test('31 a cut whole answer is a 502', async () => {
  const model = w.script('cut-whole', async (c) => {
    c.res.writeHead(200, { 'content-type': 'application/json', 'content-length': '500' })
    c.res.write('{"id":"half')
    await c.cut()
  })
  await assert.rejects(w.openai().chat.completions.create({ model, messages: [] }), { status: 502, code: 'upstream_error' })
})

test('33 36 the gateway puts neither a null error nor split data into a stream', async () => {
  // Even where it changes events, to hide the usage it asked for.
  const events = [delta({ role: 'assistant', content: '' }), chunk([{ index: 0, delta: { content: 'a' }, finish_reason: null }], { usage: null }), stop, usage(), done]
  const { a } = await through('own', events.join(''), { provider: 'openai' })
  assert.doesNotMatch(a.text, /"error"/)
  for (const event of a.text.split('\n\n').filter(Boolean)) assert.equal(event.split('\n').filter((l) => l.startsWith('data:')).length, 1, event)
  // A provider's own null is passed on, and is no error in the trace.
  const bytes = text('a').replace('{"id"', '{"error":null,"id"') + stop + done
  const given = await through('null-error', bytes)
  assert.equal(given.a.text, bytes)
  assert.equal((await w.trace(given.a)).outcome, 'completed')
})

test('34 the gateway adds no comments of its own to a slow stream', async () => {
  const { a } = await through('quiet', stream().join(''), { size: 40, pause: 60 })
  assert.equal(a.text, stream().join(''))
})

test('34 comments of the provider are no trouble to clients', async () => {
  const { a, model } = await through('keep-alive', `${': ping\n\n'.repeat(50)}${stream().join(`: OPENROUTER PROCESSING\n\n`)}`)
  assert.equal(await content(model), 'hello')
  assert.equal((await w.trace(a)).outcome, 'completed')
})

test('35 an error event is passed on, and marks the trace', async () => {
  const bytes = `${text('a')}event: error\ndata: {"error":{"message":"overloaded","type":"server_error","param":null,"code":"x"}}\n\n`
  const { a, model } = await through('error-event', bytes)
  assert.equal(a.text, bytes)
  assert.equal((await w.trace(a)).outcome, 'failed')
  const { error } = await drain(await w.openai().chat.completions.create({ model, stream: true, messages: [] }))
  assert.ok(error instanceof OpenAI.APIError)
})

test('37 HTTP/1.1: chunked, once, and no length', async () => {
  const model = w.script('chunked', (c) => c.sse(stream()))
  const body = JSON.stringify({ model, stream: true, messages: [] })
  const wire = await socket(
    w.root,
    `POST /v1/chat/completions HTTP/1.1\r\nHost: loom\r\nAuthorization: Bearer ${w.key}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  )
  const [head, ...rest] = wire.split('\r\n\r\n')
  assert.match(head, /^HTTP\/1\.1 200 OK/)
  assert.equal(head.match(/transfer-encoding: chunked/gi)?.length, 1)
  assert.doesNotMatch(head, /content-length/i)
  assert.ok(rest.join('\r\n\r\n').endsWith('\r\n0\r\n\r\n'), 'no last chunk')
})

test('37 HTTP/2 without TLS, by prior knowledge', async () => {
  const model = w.script('h2', (c) => c.sse(stream()))
  const session = connect(w.root)
  const req = session.request({ ':method': 'POST', ':path': '/v1/chat/completions', authorization: `Bearer ${w.key}`, 'content-type': 'application/json' })
  req.end(JSON.stringify({ model, stream: true, messages: [] }))
  const [headers] = await once(req, 'response')
  const got = []
  for await (const piece of req) got.push(piece)
  session.close()
  assert.equal(headers[':status'], 200)
  assert.match(headers['content-type'], /^text\/event-stream/)
  assert.equal(Buffer.concat(got).toString(), stream().join(''))
})

test('37 a cut stream is a reset over HTTP/2', async () => {
  const model = w.script('h2-cut', async (c) => {
    c.open()
    await c.write([text('a')])
    await c.cut()
  })
  const session = connect(w.root)
  session.on('error', () => {})
  const req = session.request({ ':method': 'POST', ':path': '/v1/chat/completions', authorization: `Bearer ${w.key}` })
  req.end(JSON.stringify({ model, stream: true, messages: [] }))
  let error
  let got = ''
  try {
    for await (const piece of req) got += piece
  } catch (err) {
    error = err
  }
  session.destroy()
  assert.match(got, /data: \{"error":/)
  assert.equal(error?.code, 'ERR_HTTP2_STREAM_ERROR')
})

test('37 the answer\'s own content type decides, not what was asked', async () => {
  const plain = w.script('plain-for-stream', (c) => c.json(completion('plain')))
  const a = await w.chat({ model: plain, stream: true })
  assert.equal(a.headers['content-type'], 'application/json')
  assert.equal(a.headers['content-length'], String(a.body.length))
  assert.equal((await w.recorded(a)).choices[0].message.content, 'plain')
  const streamed = w.script('stream-for-plain', (c) => c.sse(stream('streamed')))
  const b = await w.chat({ model: streamed })
  assert.equal(b.text, stream('streamed').join(''))
  assert.equal((await w.recorded(b)).choices[0].message.content, 'streamed')
})
