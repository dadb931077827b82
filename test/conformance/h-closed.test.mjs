// Section H, what is not served: never forwarded with the owner's key.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { envelope } from './lib/http.mjs'
import { world } from './lib/world.mjs'

const w = await world('hc')

test('63 what is not supported is a 404 in the envelope, and reaches no provider', async () => {
  const before = w.up.calls.length
  for (const [method, path] of [
    ['GET', 'files'], ['POST', 'files'], ['GET', 'files/file-1/content'], ['GET', 'batches'], ['POST', 'batches'], ['GET', 'fine_tuning/jobs'], ['GET', 'vector_stores'],
    ['GET', 'assistants'], ['POST', 'threads'], ['GET', 'realtime?model=hc/plain/x'], ['POST', 'realtime/sessions'], ['GET', 'organization/usage/completions'], ['POST', 'uploads'],
    ['GET', 'chat/completions/x'], ['POST', 'models/x/y'], ['GET', '../v1/files'], ['GET', 'chat/%2e%2e/files'], ['GET', 'evals'], ['GET', 'containers'],
  ]) {
    const a = await w.send(path, { method, body: method === 'POST' ? JSON.stringify({ model: 'hc/plain/x' }) : undefined })
    assert.ok(a.status === 404 || a.status === 405, `${method} ${path}: ${a.status} ${a.text}`)
    envelope(a, a.status, 'invalid_request_error', JSON.parse(a.text).error.code)
  }
  assert.equal(w.up.calls.length, before)
  await assert.rejects(w.openai().files.list(), OpenAI.NotFoundError)
})

test('63 a WebSocket is not opened', async () => {
  const a = await w.send('realtime?model=hc/plain/x', {
    method: 'GET', headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==' },
  })
  envelope(a, 404, 'invalid_request_error', null)
})
