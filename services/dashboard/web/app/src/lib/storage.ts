// What a browser keeps for someone; where storage is off, choices last as long as the page.

export function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function write(key: string, value: string) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Full or off: nothing depends on it.
  }
}

/** readJSON is undefined where nothing readable is kept. */
export function readJSON(key: string): unknown {
  try {
    return JSON.parse(read(key) ?? "") as unknown;
  } catch {
    return undefined;
  }
}
