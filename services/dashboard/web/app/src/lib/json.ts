/** pretty indents JSON, on one line where it is short; other text stays as it is. */
export function pretty(text: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return text;
  }
  const lines = JSON.stringify(value, null, 2);
  if (lines.length > 400) return lines;
  const one = lines.replace(/([[{])\n\s*|\n\s*([\]}])|\n\s*/g, (_, open: string, close: string) => open ?? close ?? " ");
  return one.length <= 72 ? one : lines;
}

export type TokenKind = "key" | "string" | "number" | "word" | "plain";

/** tokens splits JSON for colouring; joined together they are the text again. */
export function tokens(text: string): { kind: TokenKind; text: string }[] {
  const out: { kind: TokenKind; text: string }[] = [];
  const pattern = /("(?:[^"\\\n]|\\.)*")(\s*:)?|-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b|\b(?:true|false|null)\b/g;
  let at = 0;
  for (const m of text.matchAll(pattern)) {
    if (m.index > at) out.push({ kind: "plain", text: text.slice(at, m.index) });
    if (m[1] !== undefined) {
      out.push({ kind: m[2] !== undefined ? "key" : "string", text: m[1] });
      if (m[2] !== undefined) out.push({ kind: "plain", text: m[2] });
    } else {
      out.push({ kind: /^[tfn]/.test(m[0]) ? "word" : "number", text: m[0] });
    }
    at = m.index + m[0].length;
  }
  if (at < text.length) out.push({ kind: "plain", text: text.slice(at) });
  return out;
}
