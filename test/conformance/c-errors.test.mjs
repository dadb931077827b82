// Section C: errors of the gateway itself, and of providers on their way through it.
// The table of requirement 19 is asserted row by row in services/gateway/conformance_test.go.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { ChatOpenAI } from '@langchain/openai'
import { envelope } from './lib/http.mjs'
import { completion, done, drain, text, world } from './lib/world.mjs'

const w = await world('c', { keys: [{ name: 'narrow', models: ['c/plain/other'] }, { name: 'reader', scopes: ['models'] }] })
const ok = w.script('ok', (c) => c.json(completion()))

test('18 19 each error is the class that clients know, in the whole envelope', async () => {
  const narrow = w.keys['conf-c/narrow']
  for (const [client, body, type, status, code] of [
    [{ apiKey: 'sk-wrong' }, { model: ok }, OpenAI.AuthenticationError, 401, 'invalid_api_key'],
    [{ apiKey: w.keys['conf-c/reader'] }, { model: ok }, OpenAI.PermissionDeniedError, 403, 'missing_scope'],
    [{ apiKey: narrow }, { model: ok }, OpenAI.PermissionDeniedError, 403, 'model_not_allowed'],
    [{}, {}, OpenAI.BadRequestError, 400, null],
    [{}, { model: 'c-no-such-model' }, OpenAI.NotFoundError, 404, 'model_not_found'],
    [{}, { model: 'c/dead/x' }, OpenAI.InternalServerError, 502, 'upstream_error'],
  ]) {
    await assert.rejects(w.openai(client).chat.completions.create({ messages: [], ...body }), (err) => {
      assert.ok(err instanceof type, `${err.constructor.name}: ${err.message}`)
      assert.equal(err.status, status)
      assert.equal(err.code, code)
      assert.deepEqual(Object.keys(err.error).sort(), ['code', 'message', 'param', 'type'])
      assert.match(err.headers.get('content-type'), /^application\/json$/)
      return true
    })
  }
})

test('18 each refusal is JSON for whoever asks', async () => {
  envelope(await w.chat('{'), 400, 'invalid_request_error', null)
  envelope(await w.chat('[]'), 400, 'invalid_request_error', null)
  envelope(await w.send('chat/completions', { method: 'GET' }), 405, 'invalid_request_error', 'method_not_supported')
  envelope(await w.send('/', { method: 'GET', key: '' }), 404, 'invalid_request_error', null)
  envelope(await w.send('chat/completions', { method: 'DELETE' }), 405, 'invalid_request_error', 'method_not_supported')
})

test('20 a wrong path and a wrong model can be told apart', async () => {
  const wrongModel = envelope(await w.chat({ model: 'c-nothing' }), 404, 'invalid_request_error', 'model_not_found')
  assert.equal(wrongModel.param, 'model')
  assert.match(wrongModel.message, /c-nothing/)
  const wrongPath = envelope(await w.send('v1/chat/completions', { body: '{}' }), 404, 'invalid_request_error', null)
  assert.equal(wrongPath.message, 'Invalid URL (POST /v1/v1/chat/completions)')
  const chat = new ChatOpenAI({ model: 'gpt', apiKey: w.key, configuration: { baseURL: `${w.base}/v1` }, maxRetries: 0 })
  await assert.rejects(chat.invoke('hi'), (err) => /Invalid URL \(POST \/v1\/v1\/chat\/completions\)/.test(err.message))
})

test('21 a rejected provider key is not the client\'s 401', async () => {
  for (const status of [401, 403]) {
    const model = w.script(`auth-${status}`, (c) => c.json({ error: { message: 'Incorrect API key provided: sk-prov***', type: 'invalid_request_error', param: null, code: 'invalid_api_key' } }, status))
    for (const stream of [false, true]) {
      const a = await w.chat({ model, stream })
      envelope(a, 502, 'server_error', 'provider_auth_error')
      assert.equal(a.headers['x-should-retry'], 'false')
      assert.doesNotMatch(a.text, /sk-prov/)
    }
    // The client believes it: one call, no retry.
    await assert.rejects(w.openai({ maxRetries: 2 }).chat.completions.create({ model, messages: [] }), { status: 502 })
    assert.equal(w.up.seen(model).length, 3)
  }
})

const azureFilter =
  '{"error":{"message":"The response was filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation",' +
  '"content_filter_result":{"hate":{"filtered":true,"severity":"high"},"jailbreak":{"filtered":false,"detected":false}}}}, "extra" : 1.0}'

test('22 a provider\'s error passes to the byte', async () => {
  for (const [name, status, body] of [
    ['azure', 400, azureFilter],
    ['numeric', 429, '{"error":{"code":429,"message":"slow"}}'],
    ['no-envelope', 422, '{ "detail":[{"loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}] }'],
    ['text', 400, '"just text"'],
    ['missing', 404, '{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}'],
    ['server', 500, '{"error":{"message":"boom","type":"server_error","param":null,"code":null}}'],
  ]) {
    const model = w.script(`pass-${name}`, (c) => c.json(body, status))
    for (const stream of [false, true]) {
      const a = await w.chat({ model, stream })
      assert.equal(a.status, status)
      assert.equal(a.text, body)
    }
    const t = await w.trace(await w.chat({ model }))
    assert.equal(t.outcome, 'failed')
    assert.equal(t.http_status, status)
  }
  const model = w.script('azure-sdk', (c) => c.json(azureFilter, 400))
  await assert.rejects(w.openai().chat.completions.create({ model, messages: [] }), (err) => err.code === 'content_filter' && err.error.innererror.content_filter_result.hate.filtered === true)
})

test('23 before the first byte an error is a status with JSON, also for a stream', async () => {
  const limited = w.script('limited', (c) => c.json({ error: { message: 'slow', type: 'requests', param: null, code: 'rate_limit_exceeded' } }, 429, [['retry-after', '1']]))
  await assert.rejects(w.openai().chat.completions.create({ model: limited, stream: true, messages: [] }), (err) => err instanceof OpenAI.RateLimitError && err.code === 'rate_limit_exceeded')
  for (const [name, script] of [
    ['cut-before-head', (c) => c.cut()],
    ['reset-before-head', (c) => c.reset()],
    ['no-http', (c) => c.bytes('this is no HTTP\r\n\r\n')],
    ['bad-length', (c) => c.bytes('HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n')],
  ]) {
    const model = w.script(name, script)
    for (const stream of [true, false]) envelope(await w.chat({ model, stream }), 502, 'server_error', 'upstream_error')
  }
  envelope(await w.chat({ model: 'c/dead/x', stream: true }), 502, 'server_error', 'upstream_error')
})

test('19 23 an HTML page of a provider becomes the envelope, its status stays', async () => {
  for (const status of [500, 502, 503, 504]) {
    const model = w.script(`html-${status}`, (c) => c.send(status, [['content-type', 'text/html']], '<html><h1>Bad Gateway</h1>\n<hr>cloudflare</html>'))
    for (const stream of [true, false]) {
      const a = await w.chat({ model, stream })
      const e = envelope(a, status, 'server_error', 'upstream_error')
      assert.match(e.message, /<h1>Bad Gateway<\/h1> <hr>cloudflare/)
    }
  }
})

test('24 an error inside of a 200 is passed on, and is an error in the trace', async () => {
  const error = 'data: {"error": {"object":"error","message":"Internal","type":"InternalServerError","param":null,"code":500}}\n\n'
  for (const [name, pieces] of [['vllm', [error, done]], ['vllm-late', [text('a'), error, done]]]) {
    const model = w.script(name, (c) => c.sse(pieces))
    const a = await w.chat({ model, stream: true })
    assert.equal(a.status, 200)
    assert.equal(a.text, pieces.join(''))
    const t = await w.trace(a)
    assert.equal(t.outcome, 'failed')
    assert.equal(t.error_class, 'upstream_error_in_answer')
    assert.equal(t.tokens_out, null)
    const { error: seen } = await drain(await w.openai().chat.completions.create({ model, stream: true, messages: [] }))
    assert.ok(seen instanceof OpenAI.APIError, String(seen))
  }
})
