// Section K: Azure, as a provider and as clients of it ask.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AzureOpenAI, toFile } from 'openai'
import { AzureChatOpenAI } from '@langchain/openai'
import { envelope } from './lib/http.mjs'
import { chunk, completion, delta, done, stop, text, usage, world } from './lib/world.mjs'

const w = await world('k', {
  via: (url) => ({
    dated: { kind: 'azure', base_url: url, api_version: '2024-10-21', secret: 'azure-key' },
    v1: { kind: 'azure', base_url: url, secret: 'azure-v1-key' },
    old: { kind: 'azure', base_url: url, api_version: '2024-06-01', secret: 'azure-key' },
  }),
  // As AzureOpenAI puts a deployment into the path as it is, it can hold no slash.
  routes: ['plain', 'dated'].map((p) => ({ model: `k-in-${p}`, targets: [{ provider: `k-${p}` }] })),
})

/** Has the provider play a script for a model without a slash. */
const deployment = (provider, script) => (w.up.on(`k-in-${provider}`, script), `k-in-${provider}`)

/** Azure's answer where no api-version is given. */
const strict = (script) => (c) => (c.query.has('api-version') ? script(c) : c.json({ error: { code: '404', message: 'Resource not found' } }, 404))

test('74 dated API: deployment in the path, escaped; key and version where Azure wants them', async () => {
  const model = w.script('gpt 4?#', strict((c) => c.json(completion())), 'dated')
  await w.openai().chat.completions.create({ model, messages: [] })
  const [call] = w.up.seen(model)
  assert.equal(call.url, `/openai/deployments/${encodeURIComponent(model)}/chat/completions?api-version=2024-10-21`)
  assert.equal(call.headers['api-key'], 'azure-key')
  assert.equal(call.headers.authorization, undefined)
})

test('K the deployment paths of the other endpoints', async () => {
  const model = w.script('paths', strict((c) => c.json({ object: 'list', data: [], usage: { prompt_tokens: 1, total_tokens: 1 }, choices: [], text: '', created: 1 })), 'dated')
  const client = w.openai()
  await client.completions.create({ model, prompt: 'x' })
  await client.embeddings.create({ model, input: 'x', encoding_format: 'float' })
  await client.audio.transcriptions.create({ model, file: await toFile(Buffer.from('x'), 'a.mp3') })
  await client.audio.speech.create({ model, input: 'x', voice: 'alloy' })
  await client.images.generate({ model, prompt: 'x' })
  const prefix = `/openai/deployments/${encodeURIComponent(model)}`
  assert.deepEqual(w.up.seen(model).map((c) => c.url), ['completions', 'embeddings', 'audio/transcriptions', 'audio/speech', 'images/generations'].map((p) => `${prefix}/${p}?api-version=2024-10-21`))
})

test('K v1 API: the model is in the body', async () => {
  const model = w.script('gpt', (c) => c.json(completion()), 'v1')
  await w.openai().chat.completions.create({ model, messages: [] })
  const [call] = w.up.seen(model)
  assert.equal(call.path, '/openai/v1/chat/completions')
  assert.equal(call.asked.model, model)
  assert.equal(call.headers['api-key'] ?? call.headers.authorization, call.headers['api-key'] ? 'azure-v1-key' : 'Bearer azure-v1-key')
})

const filters = (more = {}) => ({ hate: { filtered: false, severity: 'safe' }, ...more })
const azureStream = (asked) => [
  chunk([], { id: '', created: 0, model: '', object: '', prompt_filter_results: [{ prompt_index: 0, content_filter_results: filters() }], ...(asked && { usage: null }) }),
  chunk([{ index: 0, delta: { content: '', role: 'assistant', refusal: null }, finish_reason: null, logprobs: null, content_filter_results: {} }], asked && { usage: null }),
  chunk([{ index: 0, delta: { content: 'hello' }, finish_reason: null, logprobs: null, content_filter_results: filters() }], asked && { usage: null }),
  chunk([{ index: 0, finish_reason: null, content_filter_offsets: { check_offset: 44 }, content_filter_results: filters() }], { id: '', created: 0, model: '', ...(asked && { usage: null }) }),
  chunk([{ index: 0, delta: {}, finish_reason: 'stop', logprobs: null, content_filter_results: {} }], asked && { usage: null }),
  ...(asked ? [usage()] : []),
  done,
]

test('40 42 52 a stream of Azure: filters stay, usage is asked for and hidden', async () => {
  for (const provider of ['dated', 'v1']) {
    const model = w.script('stream', (c) => c.sse(azureStream(c.asked.stream_options?.include_usage)), provider)
    const a = await w.chat({ model, stream: true })
    assert.equal(w.up.seen(model)[0].asked.stream_options.include_usage, true)
    assert.equal(a.text, azureStream(false).join(''))
    const t = await w.trace(a)
    assert.deepEqual([t.outcome, t.tokens_in, t.tokens_out, t.model_answered], ['completed', 9, 4, 'gpt-answered'])
    const own = await w.chat({ model, stream: true, stream_options: { include_usage: true } })
    assert.equal(own.text, azureStream(true).join(''))
  }
})

test('42 an API version that knows no stream_options is not asked', async () => {
  const model = w.script('stream', (c) => c.sse(azureStream(false)), 'old')
  const body = `{"model":"${model}","stream":true,"messages":[]}`
  await w.chat(body)
  assert.equal(w.up.seen(model)[0].asked.stream_options, undefined)
})

test('22 75 Azure\'s errors pass to the byte, missing members stay missing', async () => {
  for (const [name, status, body] of [
    ['filter', 400, '{"error":{"message":"filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}'],
    ['missing', 404, '{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}'],
    ['limit', 429, '{"error":{"code":"429","message":"Requests have exceeded call rate limit."}}'],
  ]) {
    const model = w.script(name, (c) => c.json(body, status, [['retry-after-ms', '5'], ['apim-request-id', 'apim-1'], ['x-ms-region', 'Sweden Central']]), 'dated')
    const a = await w.chat({ model })
    assert.deepEqual([a.status, a.text], [status, body])
    assert.deepEqual([a.headers['retry-after-ms'], a.headers['apim-request-id'], a.headers['x-ms-region']], ['5', 'apim-1', 'Sweden Central'])
    assert.equal((await w.trace(a)).region, 'Sweden Central')
  }
  const model = w.script('key', (c) => c.json({ error: { code: '401', message: 'Access denied due to invalid subscription key' } }, 401), 'dated')
  envelope(await w.chat({ model }), 502, 'server_error', 'provider_auth_error')
})

test('1 4 AzureOpenAI: api-key, and the deployment in the path is the model', async () => {
  for (const provider of ['plain', 'dated']) {
    const model = deployment(provider, (c) => c.json(completion()))
    const client = new AzureOpenAI({ endpoint: w.root, apiKey: w.key, apiVersion: '2024-10-21', deployment: model, maxRetries: 0 })
    const answer = await client.chat.completions.create({ model: 'whatever', messages: [] })
    assert.equal(answer.choices[0].message.content, 'hello')
    const [call] = w.up.seen(model)
    assert.ok(!call.raw.join('\n').includes(w.key))
    if (provider === 'plain') {
      assert.equal(call.asked.model, model)
      assert.equal(call.url, '/v1/chat/completions')
    }
  }
  const wrong = new AzureOpenAI({ endpoint: w.root, apiKey: 'wrong', apiVersion: '2024-10-21', deployment: 'x', maxRetries: 0 })
  await assert.rejects(wrong.chat.completions.create({ model: 'x', messages: [] }), { status: 401, code: 'invalid_api_key' })
})

test('4 5 a deployment is the model, whether the body names one or not; all other bytes stay', async () => {
  const model = deployment('plain', (c) => c.json(completion()))
  for (const [body, want] of [
    ['{ "messages":[ ],"x":1.0}', `{"model":"${model}", "messages":[ ],"x":1.0}`],
    ['{ "messages":[ ], "model" : "other","x":1.0}', `{ "messages":[ ], "model" : "${model}","x":1.0}`],
  ]) {
    const a = await w.send(`/openai/deployments/${model}/chat/completions?api-version=2024-06-01`, { key: '', headers: { 'api-key': w.key }, body })
    assert.equal(a.status, 200, a.text)
    assert.equal(w.up.seen(model).at(-1).text, want)
  }
  envelope(await w.send('/openai/deployments/k-none/chat/completions?api-version=2024-06-01', { body: '{"messages":[]}' }), 404, 'invalid_request_error', 'model_not_found')
})

test('1 4 api-key on the ordinary paths, and on /openai/v1', async () => {
  const model = w.script('api-key', (c) => c.json(completion()))
  const body = JSON.stringify({ model, messages: [] })
  for (const path of ['/v1/chat/completions', '/chat/completions', '/openai/v1/chat/completions']) {
    assert.equal((await w.send(path, { key: '', headers: { 'api-key': w.key }, body })).status, 200, path)
  }
  const answer = await w.openai({ baseURL: `${w.root}/openai/v1` }).chat.completions.create({ model, messages: [] })
  assert.equal(answer.choices[0].message.content, 'hello')
})

test('4 streams and embeddings by Azure\'s paths', async () => {
  const model = deployment('plain', (c) => (c.path.endsWith('embeddings') ? c.json({ object: 'list', data: [{ object: 'embedding', index: 0, embedding: [1] }], model: 'e', usage: { prompt_tokens: 1, total_tokens: 1 } }) : c.sse([delta({ role: 'assistant', content: '' }), text('hello'), stop, done])))
  const client = new AzureOpenAI({ endpoint: w.root, apiKey: w.key, apiVersion: '2024-10-21', deployment: model, maxRetries: 0 })
  let all = ''
  for await (const part of await client.chat.completions.create({ model, messages: [], stream: true })) all += part.choices[0]?.delta?.content ?? ''
  assert.equal(all, 'hello')
  assert.deepEqual((await client.embeddings.create({ model, input: 'x', encoding_format: 'float' })).data[0].embedding, [1])
})

test('4 LangChain\'s Azure client', async () => {
  const model = w.script('lc', (c) => c.json(completion()))
  const chat = new AzureChatOpenAI({
    azureOpenAIApiKey: w.key, azureOpenAIApiVersion: '2024-10-21', azureOpenAIBasePath: `${w.root}/openai/deployments`, azureOpenAIApiDeploymentName: encodeURIComponent(model), maxRetries: 0,
  })
  assert.equal((await chat.invoke('hi')).content, 'hello')
})
