// Anthropic's side of the wire.

export const event = (type, data = {}) => `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`

/** 10 tokens not cached, 20 written to the cache, 90 read from it: 120 for OpenAI. */
export const usage = { input_tokens: 10, cache_creation_input_tokens: 20, cache_read_input_tokens: 90, output_tokens: 7, service_tier: 'standard' }

export const message = (content, more = {}) => ({
  id: 'msg_1', type: 'message', role: 'assistant', model: 'claude-answered', content, stop_reason: 'end_turn', stop_sequence: null, usage, ...more,
})

export const text = (s) => ({ type: 'text', text: s })

const start = event('message_start', { message: message([], { stop_reason: null, usage: { ...usage, output_tokens: 1 } }) })
const ping = event('ping')

/** A stream of blocks: {text}, {thinking} or {tool, id, json}, each given in pieces. */
export function stream(blocks, { stop_reason = 'end_turn', output_tokens = 7, end = true } = {}) {
  const out = [start, ping]
  blocks.forEach((b, index) => {
    const content_block = b.tool ? { type: 'tool_use', id: b.id, name: b.tool, input: {} } : b.thinking ? { type: 'thinking', thinking: '', signature: '' } : { type: 'text', text: '' }
    out.push(event('content_block_start', { index, content_block }))
    for (const piece of b.text ?? []) out.push(event('content_block_delta', { index, delta: { type: 'text_delta', text: piece } }))
    for (const piece of b.thinking ?? []) out.push(event('content_block_delta', { index, delta: { type: 'thinking_delta', thinking: piece } }))
    if (b.thinking) out.push(event('content_block_delta', { index, delta: { type: 'signature_delta', signature: 'sig' } }))
    for (const piece of b.json ?? []) out.push(event('content_block_delta', { index, delta: { type: 'input_json_delta', partial_json: piece } }))
    out.push(event('content_block_stop', { index }))
  })
  // The usage of message_delta is cumulative, and repeats the input's counts.
  if (end) out.push(event('message_delta', { delta: { stop_reason, stop_sequence: null }, usage: { ...usage, output_tokens } }), event('message_stop'))
  return out
}

export const error = (type, m = 'no') => ({ type: 'error', error: { type, message: m }, request_id: 'req_ant' })

/** Content as blocks, which may also be given as a string. */
export const blocks = (content) => (typeof content === 'string' ? [text(content)] : content)
export const words = (content) => blocks(content).map((b) => b.text).join('\n')
