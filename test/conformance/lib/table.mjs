// Compares docs/conformance.md with the tests there are.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const root = resolve(here, '../..')
const requirements = 77

/** What is wrong with the table: nothing, or lines for people. */
export function faults() {
  const rows = read(join(root, 'docs/conformance.md'))
  const scripts = ours()
  const go = goTests(join(root, 'services/gateway'))
  const out = []
  for (let n = 1; n <= requirements; n++) if (!rows.has(String(n))) out.push(`requirement ${n} has no row in docs/conformance.md`)
  const cited = new Set()
  for (const [number, tests] of rows) {
    if (!tests.length) out.push(`requirement ${number} has no test`)
    for (const t of tests) {
      const [file, key] = t.split(' ')
      cited.add(`${file} ${key} of ${number}`)
      if (!key && !go.has(file)) out.push(`requirement ${number} names ${t}: there is no such Go test in services/gateway`)
      if (key && !scripts.get(file)?.has(key)) out.push(`requirement ${number} names ${t}: no test of ${file}.test.mjs begins so`)
    }
  }
  for (const [file, keys] of scripts) {
    for (const key of keys) if (!cited.has(`${file} ${key} of ${key}`)) out.push(`${file}.test.mjs has tests of ${key}, which row ${key} of docs/conformance.md does not name`)
  }
  return out
}

/** The rows of the table: number or letter, and the tests it names. */
function read(file) {
  const rows = new Map()
  for (const [, number, tests] of readFileSync(file, 'utf8').matchAll(/^\| (\d+|[A-L]) \|[^|]*\|[^|]*\|([^|]*)\|$/gm)) {
    if (rows.has(number)) throw new Error(`docs/conformance.md has two rows for ${number}`)
    rows.set(number, tests.split(',').map((t) => t.trim()).filter(Boolean))
  }
  return rows
}

/** What the tests of each file here are about: the numbers and letters their names begin with. */
function ours() {
  const all = new Map()
  for (const file of readdirSync(here).filter((f) => f.endsWith('.test.mjs'))) {
    const keys = new Set()
    for (const [, name] of readFileSync(join(here, file), 'utf8').matchAll(/\btest\(['"`]([^\n]*)/g)) {
      const about = name.match(/^(?:(?:\d+|[A-L]) )+/)
      if (!about) throw new Error(`${file}: the name of a test must begin with a requirement's number: ${name}`)
      for (const key of about[0].trim().split(' ')) keys.add(key)
    }
    all.set(file.replace('.test.mjs', ''), keys)
  }
  return all
}

function goTests(dir) {
  const names = new Set()
  for (const file of readdirSync(dir, { recursive: true }).filter((f) => f.endsWith('_test.go'))) {
    for (const [, name] of readFileSync(join(dir, file), 'utf8').matchAll(/^func (Test\w+)\(/gm)) names.add(name)
  }
  return names
}
