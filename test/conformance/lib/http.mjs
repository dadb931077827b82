// A client without an opinion: what went over the wire, header lists and bytes as they were.
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'

/** Sends one request on a connection of its own. The answer's body is what came until its
 * end; `clean` says whether that end was one. onData hears of every piece. */
export async function http(url, { method = 'POST', headers = {}, body, onData, onHead, signal } = {}) {
  const bytes = body === undefined ? undefined : Buffer.from(body)
  const req = request(url, { method, headers: bytes ? { 'content-length': bytes.length, ...headers } : headers, agent: false, signal })
  const answered = once(req, 'response')
  if (bytes) req.write(bytes)
  req.end()
  const [res] = await answered
  req.on('error', () => {}) // of a body that was no longer wanted
  onHead?.(res)
  const pieces = []
  try {
    for await (const p of res) {
      pieces.push({ at: performance.now(), bytes: p })
      onData?.(p.toString('utf8'), req)
    }
  } catch {
    // told by clean
  }
  const all = Buffer.concat(pieces.map((p) => p.bytes))
  return { status: res.statusCode, raw: res.rawHeaders, headers: res.headers, body: all, text: all.toString('utf8'), pieces, clean: res.complete }
}

/** Sends bytes as they are, and gives back all bytes until the other side ends. */
export async function socket(base, bytes) {
  const { hostname, port } = new URL(base)
  const conn = connect(Number(port), hostname)
  await once(conn, 'connect')
  conn.write(bytes)
  const pieces = []
  conn.on('error', () => {}) // what came before it is told
  conn.on('data', (p) => pieces.push(p))
  await once(conn, 'close')
  return Buffer.concat(pieces).toString('latin1')
}

/** The members of an error of the gateway's own, once its envelope has been checked. */
export function envelope(answer, status, type, code) {
  const where = `${answer.status} ${answer.text}`
  if (answer.status !== status) throw new Error(`status: got ${where}, want ${status}`)
  if (answer.headers['content-type'] !== 'application/json') throw new Error(`content type: ${answer.headers['content-type']}, of ${where}`)
  if (!answer.headers['x-request-id']) throw new Error(`no x-request-id with ${where}`)
  const { error, ...rest } = JSON.parse(answer.text)
  if (Object.keys(rest).length || Object.keys(error).sort().join() !== 'code,message,param,type') throw new Error(`envelope: ${where}`)
  if (error.type !== type || error.code !== code) throw new Error(`type and code: got ${where}, want ${type} and ${code}`)
  if (typeof error.message !== 'string' || !error.message) throw new Error(`no message: ${where}`)
  return error
}
