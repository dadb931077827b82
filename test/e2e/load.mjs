// Requests through the official client, several at a time, until SIGTERM. Every answer that
// came whole is a line in FILE: its trace, what it used of tokens. The last line on stdout
// says how many there were, and what went wrong with the others.
//
//     node load.mjs FILE CONCURRENCY
import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import OpenAI from 'openai'

const [file, concurrency] = process.argv.slice(2)
const client = new OpenAI({ baseURL: process.env.LOOM_BASE_URL, apiKey: process.env.LOOM_API_KEY, maxRetries: 0, timeout: 30_000 })
const failures = {}
let answered = 0
let going = true
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => { going = false })

async function ask(stream) {
  const body = { model: 'loom-demo', messages: [{ role: 'user', content: 'Weave on.' }], stream }
  if (stream) body.stream_options = { include_usage: true }
  const { data, response } = await client.chat.completions.create(body).withResponse()
  let usage = data.usage
  if (stream) for await (const chunk of data) usage = chunk.usage ?? usage
  if (!usage) throw new Error('no usage at the end')
  appendFileSync(file, `${response.headers.get('x-loom-trace-id')} ${usage.prompt_tokens} ${usage.completion_tokens}\n`)
  answered++
}

async function worker(n) {
  for (let i = n; going; i++) {
    try {
      await ask(i % 2 === 0)
    } catch (error) {
      const kind = `${error.status ?? ''} ${error.name}: ${error.cause?.code ?? error.message}`.trim()
      failures[kind] = (failures[kind] ?? 0) + 1
      await sleep(100)
    }
    await sleep(20)
  }
}

await Promise.all(Array.from({ length: Number(concurrency) }, (_, n) => worker(n)))
const failed = Object.values(failures).reduce((a, b) => a + b, 0)
console.log(JSON.stringify({ answered, failed, failures }))
