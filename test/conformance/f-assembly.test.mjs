// Section F: what the trace has of a stream.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chunk, delta, done, drain, eventually, stop, text, usage, world } from './lib/world.mjs'

const w = await world('f')

/** What the trace has of a stream of chunks. */
async function assembled(name, events) {
  const model = w.script(name, (c) => c.sse([...events, done]))
  const a = await w.chat({ model, stream: true })
  assert.equal(a.text, [...events, done].join(''))
  const t = await w.trace(a)
  return { t, answer: await w.recorded(a), model }
}

const one = (d, rest = {}) => chunk([{ index: 0, delta: d, finish_reason: null, ...rest }])
const call = (c) => one({ tool_calls: [c] })

test('45 choices interleave by index, and one may be missing', async () => {
  const at = (index, content, finish_reason = null) => delta({ content }, finish_reason, index)
  const { answer } = await assembled('n2', [at(2, 'C'), at(0, 'A'), at(2, 'c'), at(0, 'a', 'stop'), at(2, '', 'length')])
  assert.deepEqual(answer.choices.map((c) => [c.index, c.message.content, c.finish_reason]), [[0, 'Aa', 'stop'], [2, 'Cc', 'length']])
})

test('45 an index beyond all bounds costs nothing', async () => {
  const { t, answer } = await assembled('attack', [delta({ content: 'x' }, null, 1e9), delta({ content: 'y' }, null, 2147483647), call({ index: 1e9, function: { name: 'n', arguments: 'x' } }), text('a'), stop])
  assert.equal(t.outcome, 'completed')
  assert.ok(answer.choices.length <= 1)
  assert.equal(answer.choices[0].message.content, 'a')
  assert.equal(answer.choices[0].message.tool_calls, undefined)
})

test('46 content, refusal and reasoning are strings that grow; null means nothing', async () => {
  const { answer } = await assembled('strings', [
    one({ role: 'assistant', content: null, refusal: null }), one({ reasoning_content: 'I ' }), one({ reasoning: 'think', content: null }),
    one({ content: 'a' }), one({ content: null }), one({ content: 'b', role: 'assistant' }), one({ refusal: 'no' }), one({ refusal: 'pe' }), stop,
  ])
  assert.deepEqual(answer.choices[0].message, { role: 'assistant', content: 'ab', refusal: 'nope', reasoning_content: 'I think' })
})

test('47 tool calls: by index, else id, else position; the first name wins', async () => {
  const { answer, t } = await assembled('tools', [
    call({ index: 0, id: 'a', type: 'function', function: { name: 'weather', arguments: '' } }),
    call({ index: 1, id: 'b', type: 'function', function: { name: 'time', arguments: '{"tz"' } }),
    call({ index: 0, function: { name: 'weather', arguments: '{"city":' } }),
    call({ index: 1, function: { arguments: ':1}' } }), call({ index: 0, id: '', function: { arguments: '"Oslo"}' } }),
    call({ index: 2, id: 'c', type: 'custom', custom: { name: 'sql', input: 'select ' } }), call({ index: 2, custom: { input: '1' } }), delta({}, 'tool_calls'),
  ])
  assert.deepEqual(answer.choices[0].message.tool_calls, [
    { id: 'a', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } },
    { id: 'b', type: 'function', function: { name: 'time', arguments: '{"tz":1}' } },
    { id: 'c', type: 'custom', custom: { name: 'sql', input: 'select 1' } },
  ])
  assert.deepEqual(t.tool_names, ['weather', 'time', 'sql'])
  assert.deepEqual(t.finish_reasons, ['tool_calls'])
})

test('47 tool calls without an index, and with -1', async () => {
  const ids = await assembled('tools-ids', [
    call({ id: 'a', type: 'function', function: { name: 'x', arguments: '1' } }), call({ id: 'b', type: 'function', function: { name: 'y', arguments: '2' } }),
    call({ id: 'a', function: { arguments: '1' } }), delta({}, 'tool_calls'),
  ])
  assert.deepEqual(ids.answer.choices[0].message.tool_calls.map((c) => [c.id, c.function.arguments]), [['a', '11'], ['b', '2']])
  const minus = await assembled('tools-minus', [call({ index: -1, id: 'a', type: 'function', function: { name: 'x', arguments: '1' } }), call({ index: 0, function: { arguments: '2' } }), delta({}, 'tool_calls')])
  assert.deepEqual(minus.answer.choices[0].message.tool_calls.map((c) => c.function.arguments), ['12'])
})

test('48 function_call: the name is set, arguments grow', async () => {
  const { answer, t } = await assembled('function', [one({ function_call: { name: 'f', arguments: '' } }), one({ function_call: { arguments: '{"a"' } }), one({ function_call: { arguments: ':1}' } }), delta({}, 'function_call')])
  assert.deepEqual(answer.choices[0].message.function_call, { name: 'f', arguments: '{"a":1}' })
  assert.deepEqual([t.finish_reasons, t.tool_names], [['function_call'], ['f']])
})

test('49 audio: id and transcript are kept, its data is not', async () => {
  const { answer, t } = await assembled('audio', [one({ audio: { id: 'audio_1', transcript: 'Hel' } }), one({ audio: { data: 'QUJDRA==', transcript: 'lo' } }), one({ audio: { data: 'RUZH', expires_at: 1_700_000_000 } }), stop])
  assert.equal(answer.choices[0].message.audio.id, 'audio_1')
  assert.equal(answer.choices[0].message.audio.transcript, 'Hello')
  assert.ok(!JSON.stringify(answer).includes('QUJD'))
  assert.ok(t.ttft_ms > 0)
})

test('50 log probabilities concatenate by choice', async () => {
  const p = (token) => ({ token, logprob: -0.1, bytes: null, top_logprobs: [] })
  const { answer } = await assembled('logprobs', [
    one({ content: 'a' }, { logprobs: { content: [p('a')], refusal: null } }), one({ content: 'bc' }, { logprobs: { content: [p('b'), p('c')], refusal: null } }),
    one({ refusal: 'd' }, { logprobs: { content: null, refusal: [p('d')] } }), stop,
  ])
  assert.deepEqual(answer.choices[0].logprobs.content.map((x) => x.token), ['a', 'b', 'c'])
  assert.deepEqual(answer.choices[0].logprobs.refusal.map((x) => x.token), ['d'])
})

test('51 the last finish reason counts, unknown ones too, and obfuscation does not', async () => {
  const { t, answer } = await assembled('finish', [text('a'), chunk([{ index: 0, delta: {}, finish_reason: 'length' }], { obfuscation: 'xxxx' }), delta({}, null), delta({}, 'made_up')])
  assert.deepEqual(t.finish_reasons, ['made_up'])
  assert.ok(!JSON.stringify(answer).includes('xxxx'))
})

test('52 an async filter\'s chunk resets nothing', async () => {
  const { t, answer } = await assembled('filter', [
    chunk([], { id: '', created: 0, model: '', prompt_filter_results: [] }), text('a'),
    chunk([{ index: 0, finish_reason: null, content_filter_offsets: { check_offset: 1 }, content_filter_results: {} }], { id: '', created: 0, model: '' }),
    stop, chunk([{ index: 0, finish_reason: null, content_filter_results: {} }], { id: '', created: 0, model: '' }),
  ])
  assert.deepEqual([answer.id, answer.model, answer.created], ['chatcmpl-1', 'gpt-answered', 1_700_000_000])
  assert.equal(answer.choices[0].message.content, 'a')
  assert.equal(t.model_answered, 'gpt-answered')
  assert.deepEqual(t.finish_reasons, ['stop'])
})

test('53 the first token is the first that can be read', async () => {
  const slow = async (name, silent, spoken) => {
    const model = w.script(name, async (c) => {
      c.open()
      await c.write(silent)
      await new Promise((r) => setTimeout(r, 300))
      await c.write([spoken, stop, done])
      c.res.end()
    })
    return (await w.trace(await w.chat({ model, stream: true }))).ttft_ms
  }
  const silent = [chunk([], { prompt_filter_results: [] }), one({ role: 'assistant', content: '' })]
  for (const [name, spoken] of Object.entries({
    content: text('a'), refusal: one({ refusal: 'a' }), reasoning: one({ reasoning_content: 'a' }), tool: call({ index: 0, id: 'a', function: { name: 'x', arguments: '' } }), audio: one({ audio: { data: 'AA==' } }),
  })) {
    const ttft = await slow(`ttft-${name}`, silent, spoken)
    assert.ok(ttft >= 280 && ttft < 2000, `${name}: ${ttft} ms`)
  }
  const nothing = await assembled('ttft-none', [one({ role: 'assistant', content: '' }), stop])
  assert.equal(nothing.t.ttft_ms, null)
})

test('54 details of usage are parts of the totals, and what is absent is not zero', async () => {
  const u = {
    prompt_tokens: 100, completion_tokens: 50, total_tokens: 150, prompt_tokens_details: { cached_tokens: 60, audio_tokens: 10 },
    completion_tokens_details: { reasoning_tokens: 20, audio_tokens: 5, accepted_prediction_tokens: 3, rejected_prediction_tokens: 2 },
  }
  const { t } = await assembled('usage', [text('a'), stop, usage(u)])
  assert.deepEqual([t.tokens_in, t.tokens_out, t.cached_tokens], [100, 50, 60])
  assert.deepEqual([t.usage.input_uncached, t.usage.cache_read, t.usage.output, t.usage.reasoning], [40, 60, 50, 20])
  assert.deepEqual(t.usage_raw, u)
  const none = await assembled('usage-none', [text('a'), stop])
  assert.deepEqual([none.t.tokens_in, none.t.tokens_out, none.t.usage_source], [null, null, 'none'])
})

test('55 half an answer keeps what there was, and no usage', async () => {
  const cut = w.script('half-cut', async (c) => {
    c.open()
    await c.write([text('half')])
    await c.cut()
  })
  const error = w.script('half-error', (c) => c.sse([text('half'), 'data: {"error":{"message":"x","type":"server_error","param":null,"code":null}}\n\n']))
  const left = w.script('half-left', async (c) => {
    c.open()
    await c.write([text('half')])
    await c.gone
  })
  for (const model of [cut, error]) {
    const a = await w.chat({ model, stream: true })
    const t = await w.trace(a)
    assert.deepEqual([t.outcome, t.tokens_in, t.tokens_out, t.usage_source], ['failed', null, null, 'none'], model)
    assert.equal((await w.recorded(a)).choices[0].message.content, 'half')
  }
  const controller = new AbortController()
  const stream = await w.openai().chat.completions.create({ model: left, stream: true, messages: [] }, { signal: controller.signal })
  await stream[Symbol.asyncIterator]().next()
  controller.abort()
  await drain(stream).catch(() => {})
  const t = await eventually('the trace of who left', () => w.traceOf(left))
  assert.deepEqual([t.outcome, t.tokens_out, t.usage_source], ['canceled', null, 'none'])
  assert.equal((await w.recorded(t.id)).choices[0].message.content, 'half')
})
