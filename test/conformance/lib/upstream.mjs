// A model provider that plays a script. It keeps what it received, byte for byte, and
// sends what a script says: its bytes, its pieces, its pauses, its faults.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** Starts a provider on a free port of loopback. */
export async function upstream() {
  const up = new Upstream()
  up.server.listen(0, '127.0.0.1')
  await once(up.server, 'listening')
  up.port = up.server.address().port
  up.url = `http://127.0.0.1:${up.port}`
  return up
}

class Upstream {
  constructor() {
    this.scripts = new Map()
    this.calls = []
    this.failures = [] // of scripts
    // No timeouts of its own, and nothing added to what a script sends.
    this.server = createServer({ requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 60_000, maxHeaderSize: 256 << 10 })
    this.server.on('request', (req, res) => void this.#serve(req, res))
  }

  /** Plays script for every call that asks for the model, or whose path it is. */
  on(key, script) {
    this.scripts.set(key, script)
  }

  /** The calls for a model or a path so far. */
  seen(key) {
    return this.calls.filter((c) => c.key === key)
  }

  close() {
    this.server.closeAllConnections()
    this.server.close()
  }

  async #serve(req, res) {
    const chunks = []
    try {
      for await (const c of req) chunks.push(c)
    } catch {
      return // the gateway went away while sending
    }
    const call = new Call(req, res, Buffer.concat(chunks))
    call.key = [call.path, call.model].find((k) => this.scripts.has(k)) ?? call.model ?? call.path
    this.calls.push(call)
    const script = this.scripts.get(call.key)
    try {
      if (!script) return call.json({ error: { message: `no script for ${call.key}`, type: 'script', param: null, code: null } }, 418)
      await script(call)
    } catch (err) {
      this.failures.push(err)
      res.socket?.destroy()
    }
  }
}

/** One call of the provider: what it was asked, and the means to answer. */
class Call {
  constructor(req, res, body) {
    Object.assign(this, { req, res, body, method: req.method, url: req.url, raw: req.rawHeaders, headers: req.headers })
    this.path = new URL(req.url, 'http://x').pathname
    this.query = new URL(req.url, 'http://x').searchParams
    this.text = body.toString('latin1')
    this.model = modelOf(this)
    this.since = Date.now()
    this.gone = new Promise((resolve) => res.once('close', () => resolve(Date.now())))
    res.sendDate = false
    res.socket?.setNoDelay(true)
  }

  /** The body as JSON. */
  get asked() {
    return JSON.parse(this.body.toString('utf8'))
  }

  /** The names of the headers, in the order and spelling they came. */
  get names() {
    return this.raw.filter((_, i) => i % 2 === 0)
  }

  /** A whole answer; headers is a list of pairs, which may repeat a name. */
  send(status, headers, body = '') {
    const bytes = Buffer.from(body)
    this.res.writeHead(status, [...headers, ['content-length', String(bytes.length)]].flat())
    this.res.end(bytes)
  }

  json(value, status = 200, headers = []) {
    this.send(status, [['content-type', 'application/json'], ...headers], typeof value === 'string' ? value : JSON.stringify(value))
  }

  /** Begins a stream. */
  open(headers = [], status = 200) {
    this.res.writeHead(status, [['content-type', 'text/event-stream; charset=utf-8'], ...headers].flat())
    this.res.flushHeaders()
  }

  /** Sends pieces, each in a write of its own, with a pause between them. */
  async write(pieces, pause = 2) {
    for (const [i, piece] of pieces.entries()) {
      if (i > 0) await sleep(pause)
      this.res.write(Buffer.from(piece))
    }
  }

  /** A whole stream. */
  async sse(pieces, { headers = [], pause = 2 } = {}) {
    this.open(headers)
    await this.write(pieces, pause)
    this.res.end()
  }

  /** Ends the connection without ending the answer. */
  async cut() {
    await sleep(20) // what was written is on its way
    this.res.socket.destroy()
  }

  async reset() {
    await sleep(20)
    this.res.socket.resetAndDestroy()
  }

  /** Bytes that are no answer of this server's making. */
  bytes(text) {
    this.res.socket.end(text)
  }
}

/** The model a call is for: of its path (Azure), its JSON, or its form. */
function modelOf({ path, text, headers }) {
  const deployment = path.match(/\/deployments\/([^/]+)\//)
  if (deployment) return decodeURIComponent(deployment[1])
  if (headers['content-type']?.startsWith('multipart/')) return text.match(/; name="model"\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]*)/)?.[1]
  return text.match(/"model"\s*:\s*"([^"]*)"/)?.[1]
}
