import { memo, useMemo, useState } from "react";
import { maxWhole, pieces, type Shown } from "../lib/bodies";
import { bytes } from "../lib/format";
import { tokens } from "../lib/json";
import type { Source } from "./payload";

const maxColored = 32 * 1024; // beyond this, colouring costs more than it gives
const maxDrawn = 4 * 1024 * 1024; // beyond this, no one reads on in a page

interface Props {
  text: Shown;
  source: Source;
  className: string;
  /** JSON: coloured, in a box of its own. */
  json?: boolean;
}

/** Text draws the start of a text, and more of it when asked, piece by piece. Text stays text: nothing in it is run. */
export function Text({ text, source, className, json = false }: Props) {
  const [more, setMore] = useState<string[]>([]);
  const [state, setState] = useState<"still" | "busy" | "failed">("still");
  const drawn = text.text.length + more.reduce((n, m) => n + m.length, 0);
  const { ref } = text;
  const readOn = async () => {
    if (ref === undefined) return;
    setState("busy");
    try {
      for (let at = drawn; at < text.length && at < maxDrawn; ) {
        const piece = await source.text(ref, at);
        if (piece === "") break;
        at += piece.length;
        setMore((m) => [...m, piece]);
        await new Promise(requestAnimationFrame); // the page lives on between the pieces
      }
      setState("still");
    } catch {
      setState("failed");
    }
  };
  const all = (
    <>
      {json && text.text.length <= maxColored ? <Colored text={text.text} /> : <Pieces text={text.text} />}
      {more.map((piece, i) => (
        <Pieces key={i} text={piece} />
      ))}
    </>
  );
  return (
    <>
      {json ? (
        <pre className={className} tabIndex={0} data-scrolls>
          {all}
        </pre>
      ) : (
        <div className={className}>{all}</div>
      )}
      {drawn < text.length && (
        <p className="show-all">
          The first {bytes(drawn)} of {bytes(text.length)}.{" "}
          {drawn >= maxDrawn ? (
            "Download the body to read on."
          ) : (
            <button className="link" aria-disabled={state === "busy"} onClick={() => state !== "busy" && void readOn()}>
              {state === "busy" ? "Loading" : state === "failed" ? "That failed. Try again" : text.length > maxDrawn ? `Show ${bytes(maxDrawn)}` : "Show all"}
            </button>
          )}
        </p>
      )}
    </>
  );
}

/** Json draws a value that is known to be short. */
export function Json({ value }: { value: unknown }) {
  const text = useMemo(() => JSON.stringify(value, null, 2), [value]);
  return (
    <pre className="json" tabIndex={0} data-scrolls>
      {text.length <= maxColored ? <Colored text={text} /> : <Pieces text={text.slice(0, maxWhole)} />}
    </pre>
  );
}

const Pieces = memo(function Pieces({ text }: { text: string }) {
  const all = pieces(text);
  if (all.length < 2) return text;
  return all.map((piece, i) => (
    <div key={i} className="piece">
      {piece}
    </div>
  ));
});

const Colored = memo(function Colored({ text }: { text: string }) {
  return tokens(text).map((t, i) =>
    t.kind === "plain" ? (
      t.text
    ) : (
      <span key={i} className={"j-" + t.kind}>
        {t.text}
      </span>
    ),
  );
});
