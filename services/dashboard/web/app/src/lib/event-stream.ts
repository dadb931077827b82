/** One event of a stream of server-sent events. */
export interface ServerEvent {
  /** "message" where the stream names none. */
  event: string;
  data: string;
  /** The last id that the stream has given, with this event or before. */
  id: string;
}

const maxEvent = 4 << 20; // a broken stream must not fill the memory

/**
 * EventParser reads server-sent events from text that comes in any pieces. The browser's own EventSource cannot send
 * headers, and says nothing about comments, which are how a quiet stream shows that it lives.
 */
export class EventParser {
  private rest = "";
  private afterCR = false;
  private first = true;
  private event = "";
  private data: string[] = [];
  private size = 0;
  private id = "";

  /** push takes the next piece and returns the events that are complete with it. */
  push(piece: string): ServerEvent[] {
    const out: ServerEvent[] = [];
    let text = piece;
    if (this.first && text !== "") {
      this.first = false;
      if (text.startsWith("\uFEFF")) text = text.slice(1);
    }
    if (this.afterCR && text !== "") {
      this.afterCR = false;
      if (text.startsWith("\n")) text = text.slice(1); // the other half of a line's end
    }
    const ends = /\r\n|\n|\r/g;
    let start = 0;
    for (let end = ends.exec(text); end; end = ends.exec(text)) {
      const done = this.line(this.rest + text.slice(start, end.index));
      if (done) out.push(done);
      this.rest = "";
      start = ends.lastIndex;
      this.afterCR = end[0] === "\r" && start === text.length;
    }
    this.rest += text.slice(start);
    if (this.rest.length + this.size > maxEvent) throw new Error("an event of the stream is too large");
    return out;
  }

  private line(line: string): ServerEvent | undefined {
    if (line === "") return this.dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return undefined; // a comment
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    switch (field) {
      case "event":
        this.event = value;
        break;
      case "data":
        this.data.push(value);
        this.size += value.length;
        break;
      case "id":
        if (!value.includes("\0")) this.id = value;
        break;
    }
    return undefined;
  }

  private dispatch(): ServerEvent | undefined {
    const { event, data, id } = this;
    this.event = "";
    this.data = [];
    this.size = 0;
    return data.length === 0 ? undefined : { event: event || "message", data: data.join("\n"), id };
  }
}

/** events reads a body to its end; beat is called for every piece, comments too. */
export async function* events(body: ReadableStream<Uint8Array>, beat?: () => void): AsyncGenerator<ServerEvent> {
  const parser = new EventParser();
  const text = new TextDecoder();
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      beat?.();
      yield* parser.push(text.decode(value, { stream: true }));
    }
  } finally {
    await reader.cancel().catch(() => undefined); // whoever stops reading wants no more of it
  }
}

/** isStream says that a text is a recorded stream, going by its first line that says anything. */
export const isStream = (text: string) => /^\s*(?:data|event|id|retry|):/.test(text.slice(0, 1000));

/** read splits a recorded stream into its events; one that was cut off at its end counts. */
export const read = (stream: string): ServerEvent[] => new EventParser().push(`${stream}\n\n`);
