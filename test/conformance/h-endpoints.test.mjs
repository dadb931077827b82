// Section H: the other endpoints.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toFile } from 'openai'
import { OpenAIEmbeddings } from '@langchain/openai'
import { createOpenAI } from '@ai-sdk/openai'
import { embed } from 'ai'
import { envelope } from './lib/http.mjs'
import { done, drain, world } from './lib/world.mjs'

const w = await world('h')

/** Floats as OpenAI sends them to who asks for base64. */
const base64 = (list) => Buffer.from(new Float32Array(list).buffer).toString('base64')
const embeddings = (c) =>
  c.json({
    object: 'list', model: 'emb-answered', usage: { prompt_tokens: 6, total_tokens: 6 },
    data: [{ object: 'embedding', index: 0, embedding: c.asked.encoding_format === 'base64' ? base64([0.5, -2, 3.25]) : [0.5, -2, 3.25] }],
  })

test('59 embeddings: base64 is asked for, passed on and decoded by the client', async () => {
  const model = w.script('emb', embeddings)
  const answer = await w.openai().embeddings.create({ model, input: 'a' })
  assert.deepEqual(answer.data[0].embedding, [0.5, -2, 3.25])
  assert.equal(w.up.seen(model)[0].asked.encoding_format, 'base64')
  assert.equal(w.up.seen(model)[0].path, '/v1/embeddings')
  const floats = await w.openai().embeddings.create({ model, input: 'a', encoding_format: 'float' })
  assert.deepEqual(floats.data[0].embedding, [0.5, -2, 3.25])
  const body = `{"input":[[1,2],[3]], "model":"${model}","dimensions":3 }`
  const a = await w.send('embeddings', { body })
  assert.equal(w.up.seen(model).at(-1).text, body)
  const t = await w.trace(a)
  assert.deepEqual([t.endpoint, t.outcome, t.tokens_in, t.tokens_out], ['embeddings', 'completed', 6, 0])
})

test('59 embeddings: LangChain and ai', async () => {
  const model = w.script('emb-others', embeddings)
  assert.deepEqual(await new OpenAIEmbeddings({ model, apiKey: w.key, configuration: { baseURL: w.base }, maxRetries: 0 }).embedQuery('a'), [0.5, -2, 3.25])
  const { embedding } = await embed({ model: createOpenAI({ baseURL: w.base, apiKey: w.key }).embedding(model), value: 'a' })
  assert.deepEqual(embedding, [0.5, -2, 3.25])
})

const legacy = (text, finish_reason = null) => `data: ${JSON.stringify({ id: 'cmpl-1', object: 'text_completion', created: 1, model: 'm', choices: [{ text, index: 0, logprobs: null, finish_reason }] })}\n\n`

test('60 legacy completions, whole and streamed, with nothing injected', async () => {
  const whole = { id: 'cmpl-1', object: 'text_completion', created: 1, model: 'm', choices: [{ text: 'abc', index: 0, logprobs: null, finish_reason: 'stop' }], usage: { prompt_tokens: 2, completion_tokens: 3, total_tokens: 5 } }
  const model = w.script('cmpl', (c) => (c.asked.stream ? c.sse([legacy('a'), legacy('bc', 'stop'), done]) : c.json(whole)), 'openai')
  assert.equal((await w.openai().completions.create({ model, prompt: 'x' })).choices[0].text, 'abc')
  const { items } = await drain(await w.openai().completions.create({ model, prompt: 'x', stream: true }))
  assert.equal(items.map((i) => i.choices[0].text).join(''), 'abc')
  const body = `{"model":"${model}","prompt":"x","stream":true}`
  const a = await w.send('completions', { body })
  assert.equal(a.text, legacy('a') + legacy('bc', 'stop') + done)
  assert.equal(w.up.seen(model).at(-1).text, body)
  const t = await w.trace(a)
  assert.deepEqual([t.endpoint, t.outcome, t.finish_reasons], ['completions', 'completed', ['stop']])
  assert.match(JSON.stringify(await w.recorded(a)), /"abc"/)
  assert.equal((await w.trace(await w.send('completions', { body: `{"model":"${model}","prompt":"x"}` }))).tokens_out, 3)
})

const sound = Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7) % 256)) // every byte there is

test('61 4 transcriptions: the form passes to the byte, its model chooses the provider', async () => {
  const model = w.script('stt', (c) => c.json({ text: 'hello', usage: { type: 'duration', seconds: 9 } }))
  const answer = await w.openai().audio.transcriptions.create({ model, file: await toFile(sound, 'a.mp3'), language: 'cs' })
  assert.equal(answer.text, 'hello')
  const [call] = w.up.seen(model)
  assert.equal(call.path, '/v1/audio/transcriptions')
  assert.match(call.headers['content-type'], /^multipart\/form-data; boundary=/)
  assert.ok(call.body.includes(sound))
  const boundary = 'x--y'
  const form = Buffer.concat([
    Buffer.from(`preamble\r\n--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="model"\r\nContent-Type: audio/mpeg\r\n\r\n`), sound,
    Buffer.from(`\r\n--${boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\n${model}\r\n--${boundary}--\r\nepilogue`),
  ])
  const a = await w.send('audio/transcriptions', { body: form, headers: { 'content-type': `multipart/form-data; boundary="${boundary}"` } })
  assert.equal(a.status, 200, a.text)
  assert.equal(w.up.seen(model).at(-1).body.compare(form), 0)
  assert.equal(w.up.seen(model).at(-1).headers['content-type'], `multipart/form-data; boundary="${boundary}"`)
  const t = await w.trace(a)
  assert.equal(t.endpoint, 'audio.transcriptions')
  assert.deepEqual([t.outcome, t.tokens_out], ['completed', null])
})

test('61 transcriptions: text, subtitles and streams keep their type', async () => {
  for (const [format, type, body] of [['text', 'text/plain; charset=utf-8', 'hello\n'], ['srt', 'text/plain', '1\n00:00:00,000 --> 00:00:01,000\nhello\n'], ['vtt', 'text/vtt', 'WEBVTT\n\nhello']]) {
    const model = w.script(`stt-${format}`, (c) => c.send(200, [['content-type', type]], body))
    assert.equal(await w.openai().audio.transcriptions.create({ model, file: await toFile(sound, 'a.mp3'), response_format: format }), body)
  }
  const events = ['{"type":"transcript.text.delta","delta":"hel"}', '{"type":"transcript.text.delta","delta":"lo"}', '{"type":"transcript.text.done","text":"hello","usage":{"type":"tokens","input_tokens":14,"output_tokens":2,"total_tokens":16}}']
  const model = w.script('stt-stream', (c) => c.sse(events.map((e) => `data: ${e}\n\n`)))
  const { data, response } = await w.openai().audio.transcriptions.create({ model, file: await toFile(sound, 'a.mp3'), stream: true }).withResponse()
  const { items, error } = await drain(data)
  assert.equal(error, undefined)
  assert.equal(items.at(-1).text, 'hello')
  const t = await w.trace(response)
  assert.deepEqual([t.outcome, t.tokens_in, t.tokens_out], ['completed', 14, 2])
})

test('61 translations', async () => {
  const model = w.script('translate', (c) => c.json({ text: 'hello' }))
  assert.equal((await w.openai().audio.translations.create({ model, file: await toFile(sound, 'a.mp3') })).text, 'hello')
  assert.equal(w.up.seen(model)[0].path, '/v1/audio/translations')
})

test('61 speech: bytes of any kind, or events', async () => {
  const model = w.script('tts', (c) => c.send(200, [['content-type', 'audio/mpeg']], sound))
  const res = await w.openai().audio.speech.create({ model, input: 'hi', voice: 'alloy' })
  assert.equal(res.headers.get('content-type'), 'audio/mpeg')
  assert.equal(Buffer.from(await res.arrayBuffer()).compare(sound), 0)
  assert.equal((await w.trace(res)).endpoint, 'audio.speech')
  const events = `data: {"type":"speech.audio.delta","audio":"QUJD"}\n\ndata: {"type":"speech.audio.done","usage":{"input_tokens":3,"output_tokens":9,"total_tokens":12}}\n\n`
  const streamed = w.script('tts-sse', (c) => c.sse([events]))
  const a = await w.send('audio/speech', { body: JSON.stringify({ model: streamed, input: 'hi', voice: 'alloy', stream_format: 'sse' }) })
  assert.equal(a.text, events)
  const t = await w.trace(a)
  assert.deepEqual([t.outcome, t.tokens_in, t.tokens_out], ['completed', 3, 9])
})

test('61 speech: sound is there before it is all there', async () => {
  let go
  const model = w.script('tts-chunks', async (c) => {
    c.res.writeHead(200, { 'content-type': 'audio/mpeg' })
    c.res.write(sound)
    await new Promise((resolve) => (go = resolve))
    c.res.end(sound)
  })
  // The provider goes on only once the client has heard the first half.
  const a = await w.send('audio/speech', { body: JSON.stringify({ model, input: 'hi', voice: 'alloy' }), onData: () => go?.() })
  assert.equal(a.body.length, 2 * sound.length)
})

test('62 images: generations and edits, streams too', async () => {
  const model = w.script('img', (c) => c.json({ created: 1, data: [{ b64_json: 'QUJD' }], usage: { input_tokens: 10, output_tokens: 200, total_tokens: 210, input_tokens_details: { text_tokens: 10, image_tokens: 0 } } }))
  const { data, response } = await w.openai().images.generate({ model, prompt: 'x' }).withResponse()
  assert.equal(data.data[0].b64_json, 'QUJD')
  assert.equal(w.up.seen(model)[0].path, '/v1/images/generations')
  const t = await w.trace(response)
  assert.deepEqual([t.endpoint, t.tokens_in, t.tokens_out], ['images.generations', 10, 200])
  await w.openai().images.edit({ model, prompt: 'x', image: [await toFile(sound, 'a.png', { type: 'image/png' }), await toFile(sound, 'b.png', { type: 'image/png' })] })
  const edit = w.up.seen(model).at(-1)
  assert.equal(edit.path, '/v1/images/edits')
  assert.equal(edit.text.split(sound.toString('latin1')).length, 3)
  const events =
    'event: image_generation.partial_image\ndata: {"type":"image_generation.partial_image","b64_json":"QUJD","partial_image_index":0}\n\n' +
    'event: image_generation.completed\ndata: {"type":"image_generation.completed","b64_json":"REVG","usage":{"input_tokens":10,"output_tokens":20,"total_tokens":30}}\n\n'
  const streamed = w.script('img-stream', (c) => c.sse([events]))
  const a = await w.send('images/generations', { body: JSON.stringify({ model: streamed, prompt: 'x', stream: true, partial_images: 1 }) })
  assert.equal(a.text, events)
  assert.equal((await w.trace(a)).outcome, 'completed')
})

test('H moderations pass', async () => {
  const model = w.script('mod', (c) => c.json({ id: 'modr-1', model: 'm', results: [{ flagged: false, categories: {}, category_scores: {} }] }))
  assert.equal((await w.openai().moderations.create({ model, input: 'x' })).results[0].flagged, false)
})

test('4 19 each endpoint refuses alike', async () => {
  for (const path of ['completions', 'embeddings', 'responses', 'moderations', 'audio/speech', 'images/generations']) {
    envelope(await w.send(path, { body: '{', key: 'sk-wrong' }), 401, 'auth_error', 'invalid_api_key')
    envelope(await w.send(path, { body: '{' }), 400, 'invalid_request_error', null)
    envelope(await w.send(path, { body: '{}' }), 400, 'invalid_request_error', null)
    envelope(await w.send(path, { body: '{"model":"h-none"}' }), 404, 'invalid_request_error', 'model_not_found')
    envelope(await w.send(path, { method: 'PUT', body: '{}' }), 405, 'invalid_request_error', 'method_not_supported')
  }
  for (const path of ['audio/transcriptions', 'audio/translations', 'images/edits']) {
    const multipart = { 'content-type': 'multipart/form-data; boundary=b' }
    envelope(await w.send(path, { body: 'x', key: 'sk-wrong', headers: multipart }), 401, 'auth_error', 'invalid_api_key')
    envelope(await w.send(path, { body: '--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--b--\r\n', headers: multipart }), 400, 'invalid_request_error', null)
    envelope(await w.send(path, { body: '--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nh-none\r\n--b--\r\n', headers: multipart }), 404, 'invalid_request_error', 'model_not_found')
  }
})
