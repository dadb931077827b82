// Section E: stream_options.include_usage.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chunk, delta, done, stop, stream, text, usage, world } from './lib/world.mjs'

const w = await world('e')

/** A stream as OpenAI sends it to one who asked for usage. */
const withNull = (e) => e.replace(/\}\n\n$/, ',"usage":null}\n\n')
const asked = [delta({ role: 'assistant', content: '' }), text('hello'), stop].map(withNull).concat(usage(), done)
const notAsked = stream()

/** A provider that gives usage where it is asked for. */
const honest = (c) => c.sse(c.asked.stream_options?.include_usage ? asked : notAsked)

async function ask(name, options, { provider = 'openai', script = honest } = {}) {
  const model = w.script(name, script, provider)
  const a = await w.chat({ model, stream: true, ...options })
  assert.ok(a.clean)
  return { a, model, sent: w.up.seen(model)[0].asked }
}

test('38 43 one who asked gets the usage chunk and the nulls as they came', async () => {
  for (const provider of ['openai', 'plain']) {
    const { a, sent } = await ask('asked', { stream_options: { include_usage: true } }, { provider })
    assert.equal(a.text, asked.join(''))
    assert.deepEqual(sent.stream_options, { include_usage: true })
    assert.equal((await w.trace(a)).tokens_in, 9)
  }
  const model = w.script('asked-sdk', honest, 'openai')
  const parts = []
  for await (const part of await w.openai().chat.completions.create({ model, stream: true, stream_options: { include_usage: true }, messages: [] })) parts.push(part)
  assert.deepEqual(parts.at(-1).choices, [])
  assert.deepEqual(parts.at(-1).usage, { prompt_tokens: 9, completion_tokens: 4, total_tokens: 13 })
  assert.equal(parts[0].usage, null)
})

test('39 42 usage is asked for and hidden from one who did not ask', async () => {
  for (const [name, options] of [
    ['not', {}],
    ['false', { stream_options: { include_usage: false } }],
    ['empty', { stream_options: {} }],
    ['null', { stream_options: null }],
    ['other', { stream_options: { include_obfuscation: false } }],
  ]) {
    const { a, sent } = await ask(`hidden-${name}`, options)
    assert.equal(sent.stream_options.include_usage, true)
    assert.equal(a.text, notAsked.join(''), name)
    const t = await w.trace(a)
    assert.deepEqual([t.tokens_in, t.tokens_out, t.usage_source], [9, 4, 'provider'])
  }
  // choices[0] of every chunk is there: to index it is what applications do.
  const model = w.script('hidden-sdk', honest, 'openai')
  let all = ''
  for await (const part of await w.openai().chat.completions.create({ model, stream: true, messages: [] })) {
    all += part.choices[0].delta.content ?? ''
    assert.ok(!('usage' in part))
  }
  assert.equal(all, 'hello')
})

test('39 what streams not is not touched', async () => {
  const model = w.script('whole', (c) => c.json('{"choices":[]}'), 'openai')
  const body = `{"model":"${model}","messages":[]}`
  await w.chat(body)
  assert.equal(w.up.seen(model)[0].text, body)
})

test('40 chunks that are not usage alone are not removed', async () => {
  const filter = chunk([], { id: '', created: 0, model: '', prompt_filter_results: [{ prompt_index: 0, content_filter_results: {} }] })
  const inline = chunk([{ index: 0, delta: { content: 'a' }, finish_reason: 'stop' }], { usage: { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 }, x_groq: { usage: {} } })
  const bytes = [filter, text('a'), inline, done].join('')
  const { a } = await ask('keep', {}, { script: (c) => c.sse([bytes]) })
  assert.equal(a.text, bytes)
  const t = await w.trace(a)
  assert.deepEqual([t.tokens_in, t.tokens_out], [3, 5])
})

test('41 42 a compatible provider is not asked for what it may not understand', async () => {
  const { a, sent } = await ask('compatible', {}, { provider: 'plain' })
  assert.equal(sent.stream_options, undefined)
  assert.equal(a.text, notAsked.join(''))
  const t = await w.trace(a)
  // Usage nobody told is absent, and never zero.
  assert.deepEqual([t.tokens_in, t.tokens_out, t.usage_source, t.cost_usd], [null, null, 'none', null])
  assert.equal(t.usage, null)
})

test('44 empty stream_options are not a question, and the last usage counts', async () => {
  const running = (n) => chunk([{ index: 0, delta: { content: 'a' }, finish_reason: n === 3 ? 'stop' : null }], { usage: { prompt_tokens: 7, completion_tokens: n, total_tokens: 7 + n } })
  const bytes = [running(1), running(2), running(3), done].join('')
  const { a } = await ask('continuous', { stream_options: { include_usage: true, continuous_usage_stats: true } }, { provider: 'plain', script: (c) => c.sse([bytes]) })
  assert.equal(a.text, bytes)
  const t = await w.trace(a)
  assert.deepEqual([t.tokens_in, t.tokens_out], [7, 3])
  const inject = await ask('continuous-hidden', {}, { script: (c) => c.sse([bytes]) })
  assert.equal(inject.a.text, bytes)
})
