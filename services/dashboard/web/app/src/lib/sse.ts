// A recorded stream of server-sent events, as text.

export interface Event {
  /** Empty where the stream names none. */
  event: string;
  data: string;
}

/** isStream says that a text is a stream's, going by its first line that says anything. */
export const isStream = (text: string) => /^\s*(?:data|event|id|retry|):/.test(text.slice(0, 1000));

/** read splits a stream into its events; one that was cut off at its end counts. */
export function read(stream: string): Event[] {
  const out: Event[] = [];
  let event = "";
  let data: string[] = [];
  const end = () => {
    if (data.length > 0) out.push({ event, data: data.join("\n") });
    event = "";
    data = [];
  };
  for (const line of stream.split(/\r\n|\r|\n/)) {
    if (line === "") end();
    else if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
    else if (line.startsWith("event:")) event = line.slice(6).trim();
  }
  end();
  return out;
}
