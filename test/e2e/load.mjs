// Requests through the official client, several at a time, every second one streamed, until
// SIGTERM. Every answer that came whole is a line in FILE: its trace, what it used of tokens,
// when it began and ended (in ms). Every other request is a line in FILE.failed: when it began
// and ended, its trace or -, and what the client saw. The last line on stdout sums up.
//
//     node load.mjs FILE CONCURRENCY
import { appendFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import OpenAI from 'openai'

const [file, concurrency] = process.argv.slice(2)
const client = new OpenAI({ baseURL: process.env.LOOM_BASE_URL, apiKey: process.env.LOOM_API_KEY, maxRetries: 0, timeout: 30_000 })
const failures = {}
let sent = 0
let answered = 0
let streamed = 0
let going = true
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => { going = false })
for (const name of [file, `${file}.failed`]) writeFileSync(name, '', { flag: 'a' })

async function ask(stream) {
  const began = Date.now()
  let trace = '-'
  sent++
  try {
    const body = { model: 'loom-demo', messages: [{ role: 'user', content: 'Weave on.' }], stream }
    if (stream) body.stream_options = { include_usage: true }
    const { data, response } = await client.chat.completions.create(body).withResponse()
    trace = response.headers.get('x-loom-trace-id')
    let usage = data.usage
    if (stream) for await (const chunk of data) usage = chunk.usage ?? usage
    if (!usage) throw new Error('no usage at the end')
    appendFileSync(file, `${trace} ${usage.prompt_tokens} ${usage.completion_tokens} ${began} ${Date.now()}\n`)
    answered++
    if (stream) streamed++
  } catch (error) {
    const kind = `${stream ? 'stream' : 'plain'}: ${error.status ?? ''} ${error.cause?.cause?.code ?? error.cause?.code ?? error.message}`.replace(/\s+/g, ' ')
    appendFileSync(`${file}.failed`, `${began} ${Date.now()} ${trace} ${kind}\n`)
    failures[kind] = (failures[kind] ?? 0) + 1
    await sleep(100)
  }
}

async function worker(n) {
  for (let i = n; going; i++) {
    await ask(i % 2 === 0)
    await sleep(20)
  }
}

await Promise.all(Array.from({ length: Number(concurrency) }, (_, n) => worker(n)))
console.log(JSON.stringify({ sent, answered, streamed, failed: sent - answered, failures }))
