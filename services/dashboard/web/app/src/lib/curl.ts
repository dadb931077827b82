/** Everything a request needs to be made again; never a secret. */
export interface Call {
  gatewayURL: string;
  /** As a trace names it, such as chat.completions. */
  endpoint: string;
  /** null: longer than maxInline; it is read from a file beside. */
  body: string | null;
}

/** quote makes one argument of any text for a POSIX shell. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Longer bodies go into a file: shells bound the length of a command. */
export const maxInline = 100_000;
export const bodyFile = "request.json";

/** curl writes the command that makes the request again, with the key left to the environment. */
export function curl({ gatewayURL, endpoint, body }: Call): string {
  const url = `${gatewayURL.replace(/\/+$/, "")}/v1/${endpoint.replaceAll(".", "/")}`;
  const data = body === null ? `@${bodyFile}` : quote(body);
  return [
    `curl ${quote(url)}`,
    `-H "Authorization: Bearer $LOOM_API_KEY"`,
    `-H 'Content-Type: application/json'`,
    `--data-binary ${data}`,
  ].join(" \\\n  ");
}
