// Section I: cancellation, timeouts, connections.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:http2'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import OpenAI from 'openai'
import { envelope } from './lib/http.mjs'
import { completion, done, drain, eventually, stop, stream, text, world } from './lib/world.mjs'

const w = await world('i')

/** A provider that has begun to answer as far as `begin` says, and then waits for its client to leave. */
const waiting = (name, begin) =>
  w.script(name, async (c) => {
    await begin?.(c)
    c.ready = true
    c.left = await c.gone
  })

/** Asks with leave, which makes the client leave, and tells how long the provider went on after that. */
async function after(model, leave) {
  const call = () => w.up.seen(model)[0]
  const at = await leave(() => eventually('the provider is asked', () => call()?.ready))
  await eventually('the provider\'s call is cancelled', () => call().left, 5000)
  return call().left - at
}

const open = (c) => c.open()
const begun = async (c) => {
  c.open()
  await c.write([text('a')])
}

for (const [place, begin, streams] of [
  ['mid-stream', begun, true],
  ['before the first token', open, true],
  ['before the head of a stream', undefined, true],
  ['before a whole answer', undefined, false],
]) {
  test(`64 65 a client that leaves ${place} cancels the provider's call within a second`, async () => {
    const model = waiting(`gone-${place.replaceAll(' ', '-')}`, begin)
    const took = await after(model, async (asked) => {
      const controller = new AbortController()
      const answer = w.openai().chat.completions.create({ model, stream: streams, messages: [] }, { signal: controller.signal })
      answer.catch(() => {})
      await asked()
      if (begin) await answer // its head is there
      controller.abort()
      return Date.now()
    })
    assert.ok(took < 1000, `${took} ms`)
    const t = await w.traceOf(model)
    assert.equal(t.outcome, 'canceled')
    assert.equal(t.error_class, 'client_gone')
  })
}

test('64 a client that gives up by its own timeout is one that left', async () => {
  const model = waiting('timeout')
  let gave
  const took = await after(model, async (asked) => {
    const answer = w.openai({ timeout: 300 }).chat.completions.create({ model, messages: [] })
    await asked()
    await assert.rejects(answer, OpenAI.APIConnectionTimeoutError)
    return (gave = Date.now())
  })
  assert.ok(gave && took < 1000, `${took} ms`)
})

test('64 a client that leaves over HTTP/2 too', async () => {
  const model = waiting('h2', begun)
  const session = connect(w.root)
  session.on('error', () => {})
  const req = session.request({ ':method': 'POST', ':path': '/v1/chat/completions', authorization: `Bearer ${w.key}` })
  req.on('error', () => {})
  req.end(JSON.stringify({ model, stream: true, messages: [] }))
  const took = await after(model, async (asked) => {
    await once(req, 'response')
    await asked()
    req.close(8) // CANCEL
    return Date.now()
  })
  session.destroy()
  assert.ok(took < 1000, `${took} ms`)
})

test('65 a client with a large body that leaves is noticed too', async () => {
  const model = waiting('large')
  const took = await after(model, async (asked) => {
    const controller = new AbortController()
    const answer = w.chat({ model, messages: [{ role: 'user', content: 'x'.repeat(4 << 20) }] }, { signal: controller.signal })
    answer.catch(() => {})
    await asked()
    controller.abort()
    return Date.now()
  })
  assert.ok(took < 1000, `${took} ms`)
})

test('66 a stream with long pauses is not cut', async () => {
  const model = w.script('pauses', (c) => c.sse(stream('slow'), { pause: 1500 }))
  const a = await w.chat({ model, stream: true })
  assert.ok(a.clean)
  assert.equal(a.text, stream('slow').join(''))
})

test('66 a client that reads slowly gets all of it', async () => {
  const many = Array.from({ length: 2000 }, (_, i) => text(`${i} ${'x'.repeat(1000)}`))
  const model = w.script('slow-reader', (c) => c.sse([many.join('') + stop + done]))
  const parts = []
  for await (const part of await w.openai().chat.completions.create({ model, stream: true, messages: [] })) {
    if (parts.length % 400 === 0) await sleep(150)
    parts.push(part)
  }
  assert.equal(parts.length, 2001)
})

test('67 a client has its answer before the trace is anywhere but in the spool, and the trace follows', async () => {
  const model = w.script('recorded', (c) => c.sse(stream()))
  const ids = []
  await Promise.all(Array.from({ length: 40 }, async () => {
    const a = await w.chat({ model, stream: true })
    assert.ok(a.clean)
    ids.push(a.headers['x-loom-trace-id'])
  }))
  assert.equal(new Set(ids).size, 40)
  for (const id of ids) assert.equal((await w.trace(id)).outcome, 'completed')
})

test('69 a redirect is not followed, with or without credentials', async () => {
  const target = w.script('redirect-target', (c) => c.json(completion('stolen')))
  for (const status of [301, 302, 307, 308]) {
    const model = w.script(`redirect-${status}`, (c) => c.send(status, [['location', `${w.up.url}/elsewhere`], ['content-type', 'application/json']], '{}'))
    envelope(await w.chat({ model }), 502, 'server_error', 'upstream_error')
    assert.equal(w.up.seen(model).length, 1)
  }
  assert.equal(w.up.seen('/elsewhere').length, 0)
  assert.equal(w.up.seen(target).length, 0)
})

test('64 a tenant that leaves does not disturb one that stays', async () => {
  const stay = w.script('stay', (c) => c.sse(stream('stay'), { pause: 100 }))
  const leave = waiting('leave', begun)
  const staying = w.chat({ model: stay, stream: true })
  const controller = new AbortController()
  const leaving = await w.openai().chat.completions.create({ model: leave, stream: true, messages: [] }, { signal: controller.signal })
  controller.abort()
  await drain(leaving).catch(() => {})
  const a = await staying
  assert.ok(a.clean)
  assert.equal(a.text, stream('stay').join(''))
})
