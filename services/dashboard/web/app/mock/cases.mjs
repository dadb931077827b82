// Traces whose bodies are out of the ordinary, one for each thing that can be the matter.
// Their ids end in their number: …-000000000001 is the first.
import { deflateSync } from "node:zlib";

const text = (v) => {
  const s = typeof v === "string" ? v : JSON.stringify(v);
  return { text: s, truncated: false, length: Buffer.byteLength(s) };
};
const answer = (content) => text({ choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }] });
const chat = (...messages) => text({ model: "gpt-5", messages });
const filler = (n) => "The quick brown fox jumps over the lazy dog, line by line. \n".repeat(Math.ceil(n / 60)).slice(0, n);

export const cases = {
  huge: () => ({ request: chat({ role: "user", content: filler(20_000_000) }), response: answer(filler(1_000_000)) }),
  long: () => ({
    request: chat(...Array.from({ length: 4_000 }, (_, i) => ({ role: i % 2 ? "assistant" : "user", content: `${i}: ${filler(4_800)}` }))),
    response: answer("The answer to all of that."),
  }),
  script: () => ({
    request: chat({ role: "user", content: '<script>alert(1)</script><img src=x onerror="alert(1)"> [x](javascript:alert(1))' }),
    response: answer('<iframe srcdoc="<script>alert(1)</script>"></iframe>'),
  }),
  media: () => ({
    request: chat({
      role: "user",
      content: [
        { type: "text", text: "What is this?" },
        { type: "image_url", image_url: { url: `data:image/png;base64,${png().toString("base64")}` } },
        { type: "image_url", image_url: { url: "https://pictures.example/kettle.png" } },
        { type: "input_audio", input_audio: { format: "wav", data: wav().toString("base64") } },
      ],
    }),
    response: answer("A teal square, and a beep."),
  }),
  stream: () => ({
    request: text({ model: "claude-sonnet-4-5", system: "Think first.", messages: [{ role: "user", content: "Is it open?" }] }),
    response: text(
      [
        { type: "message_start", message: { role: "assistant" } },
        { type: "content_block_start", index: 0, content_block: { type: "thinking", thinking: "" } },
        { type: "content_block_delta", index: 0, delta: { type: "thinking_delta", thinking: "They ask about the shop." } },
        { type: "content_block_start", index: 1, content_block: { type: "text", text: "" } },
        ...Array.from({ length: 260 }, (_, i) => ({ type: "content_block_delta", index: 1, delta: { type: "text_delta", text: `word${i} ` } })),
        { type: "message_delta", delta: { stop_reason: "end_turn" } },
      ]
        .map((e) => `event: ${e.type}\ndata: ${JSON.stringify(e)}\n\n`)
        .join(""),
    ),
  }),
  cut: () => ({ request: { ...text(JSON.stringify({ messages: [{ role: "user", content: filler(9_000) }] }).slice(0, 5_000)), truncated: true }, response: null }),
  broken: () => ({ request: text('{"model": "gpt-5", "messages": [{"role": "user"'), response: text("<html><body>502 Bad Gateway</body></html>") }),
  binary: () => ({ request: { base64: "/9j/4AAQSkZJRgABAQ==", truncated: false, length: 13 }, response: { base64: "UklGRg==", truncated: false, length: 4 } }),
  shredded: "shredded",
  unrecorded: "not_recorded",
  unreadable: [500, "payload_unreadable", "A body of this trace cannot be decrypted: it was changed, or its key is not at hand."],
  expired: [404, "not_found", "No such trace."],
};

export const caseID = (i) => `00000000-0000-7000-9000-${String(i + 1).padStart(12, "0")}`;

/** made turns some traces into these cases. */
export function made(list) {
  Object.keys(cases).forEach((name, i) => {
    const t = list[i + 2];
    if (!t) return;
    Object.assign(t, { id: caseID(i), outcome: "completed", http_status: 200, error_class: "", stream: true, session_id: `case-${name}`, case: name });
    if (name === "script") Object.assign(t, { model: "<b>bold</b>", tags: { "<i>x</i>": "<script>alert(1)</script>" } });
  });
  return list;
}

function png() {
  const size = 96;
  const row = Buffer.concat([Buffer.from([0]), Buffer.alloc(size * 3).fill(Buffer.from([0x0e, 0x7d, 0x72]))]);
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const out = Buffer.alloc(8 + body.length);
    out.writeUInt32BE(data.length, 0);
    body.copy(out, 4);
    out.writeUInt32BE(crc(body), 4 + body.length);
    return out;
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(size, 0);
  head.writeUInt32BE(size, 4);
  head.set([8, 2, 0, 0, 0], 8);
  const pixels = deflateSync(Buffer.concat(Array(size).fill(row)));
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", head), chunk("IDAT", pixels), chunk("IEND", Buffer.alloc(0))]);
}

function crc(b) {
  let c = 0xffffffff;
  for (const x of b) {
    c ^= x;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  }
  return (c ^ 0xffffffff) >>> 0;
}

function wav() {
  const n = 4_000;
  const b = Buffer.alloc(44 + n);
  b.write("RIFF", 0);
  b.writeUInt32LE(36 + n, 4);
  b.write("WAVEfmt ", 8);
  b.writeUInt32LE(16, 16);
  b.writeUInt16LE(1, 20);
  b.writeUInt16LE(1, 22);
  b.writeUInt32LE(8_000, 24);
  b.writeUInt32LE(8_000, 28);
  b.writeUInt16LE(1, 32);
  b.writeUInt16LE(8, 34);
  b.write("data", 36);
  b.writeUInt32LE(n, 40);
  for (let i = 0; i < n; i++) b[44 + i] = 128 + 90 * Math.sin(i / 3);
  return b;
}
