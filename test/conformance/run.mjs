// Compares the table of requirements with the tests, starts bin/loom on free ports with a directory of its own, runs the tests against it,
// stops it, and says how it went in the last line.
//   node run.mjs            all files
//   node run.mjs d-*.mjs    some of them
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { faults } from './lib/table.mjs'

const wrong = faults()
if (wrong.length) {
  console.log(wrong.join('\n'))
  console.log(`conformance: the table and the tests differ in ${wrong.length} places`)
  process.exit(1)
}

const here = dirname(fileURLToPath(import.meta.url))
const began = Date.now()
const dir = mkdtempSync(join(tmpdir(), 'loom-conformance-'))
chmodSync(dir, 0o711) // the account Postgres runs as passes through
const log = join(dir, 'log')
const binary = resolve(here, '../../bin/loom')

// No setting of the caller's reaches this Loom.
const env = Object.fromEntries(Object.entries(process.env).filter(([k]) => k === 'LOOM_PG_BIN' || !/^(LOOM_|OPENAI_|ANTHROPIC_|AZURE_|ENCRYPTION_MASTER_KEY)/.test(k)))
const out = openSync(log, 'w')
const loom = spawn(binary, ['up', '--data-dir', join(dir, 'data'), '--gateway-addr', '127.0.0.1:0', '--dashboard-addr', '127.0.0.1:0'], {
  env: { ...env, LOOM_GATEWAY_ALLOW_PRIVATE_UPSTREAMS: 'true' },
  stdio: ['ignore', out, out],
})
const ended = new Promise((resolve) => loom.once('exit', resolve))

async function ready() {
  for (let i = 0; i < 300; i++) {
    const text = readFileSync(log, 'utf8')
    if (text.includes('Loom is ready')) return
    if (loom.exitCode !== null) break
    await sleep(100)
  }
  throw new Error(`loom up did not come up:\n${readFileSync(log, 'utf8')}`)
}

async function tests() {
  await ready()
  const vars = readFileSync(join(dir, 'data', 'dev.env'), 'utf8').matchAll(/^(LOOM_\w+)=(.*)$/gm)
  for (const k of Object.keys(process.env)) if (!(k in env)) delete process.env[k]
  Object.assign(process.env, Object.fromEntries([...vars].map((m) => [m[1], m[2]])), { LOOM_CONFORMANCE_DIR: dir, LOOM_BINARY: binary })

  const asked = process.argv.slice(2)
  const files = (asked.length ? asked : readdirSync(here).filter((f) => f.endsWith('.test.mjs')).sort()).map((f) => resolve(here, f))
  const count = { pass: 0, fail: 0 }
  const failed = []
  const events = run({ files, concurrency: 2, timeout: 150_000 })
  // A file counts only where it has failed as such.
  const isFile = (data) => files.some((f) => data.name === f || basename(data.name) === basename(f))
  events.on('test:pass', (data) => (count.pass += isFile(data) ? 0 : 1))
  events.on('test:fail', (data) => {
    if (isFile(data) && data.details?.error?.failureType === 'subtestsFailed') return
    count.fail++
    failed.push(data.name)
  })
  events.compose(new spec()).pipe(process.stdout)
  await new Promise((resolve) => events.once('end', resolve))
  await sleep(50) // the report is written
  return { ...count, failed }
}

let result
try {
  result = await tests()
} catch (err) {
  console.error(err)
  result = { pass: 0, fail: 1, failed: ['the run itself'] }
}
loom.kill('SIGINT')
const code = await Promise.race([ended, sleep(15_000, 'late', { ref: false })])
if (code !== 0) {
  result.fail++
  result.failed.push(`loom up ended with ${code}`)
  loom.kill('SIGKILL')
}
const warnings = readFileSync(log, 'utf8').split('\n').filter((l) => /level=ERROR|panic/.test(l) && !/renew its secret/.test(l))
if (warnings.length) {
  result.fail++
  result.failed.push('loom up logged what nobody should see')
  console.log(warnings.slice(0, 20).join('\n'))
}
rmSync(dir, { recursive: true, force: true })
for (const name of result.failed) console.log(`FAILED: ${name}`)
console.log(`conformance: ${result.pass} passed, ${result.fail} failed, in ${Math.round((Date.now() - began) / 1000)} s`)
process.exit(result.fail || !result.pass ? 1 : 0)
