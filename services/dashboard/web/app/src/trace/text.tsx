import { useMemo, useState } from "react";
import { bytes } from "../lib/format";
import { cut, maxDrawn, pretty, tokens } from "../lib/json";

/** Bounded draws the start of a long text, and all of it when asked. Text stays text: nothing in it is run. */
export function Bounded({ text, className }: { text: string; className: string }) {
  const [all, setAll] = useState(false);
  const { shown, rest } = all ? { shown: text, rest: 0 } : cut(text);
  return (
    <>
      <div className={className}>{shown}</div>
      {rest > 0 && <ShowAll length={text.length} onClick={() => setAll(true)} />}
    </>
  );
}

/** Json draws JSON indented and coloured; other text as it is. */
export function Json({ text, tall = false }: { text: string; tall?: boolean }) {
  const [all, setAll] = useState(false);
  const formatted = useMemo(() => pretty(text), [text]);
  const { shown, rest } = all ? { shown: formatted, rest: 0 } : cut(formatted);
  // Beyond this, colouring costs more than it gives.
  const parts = useMemo(() => (shown.length <= maxDrawn ? tokens(shown) : null), [shown]);
  return (
    <>
      <pre className={tall ? "json tall" : "json"} tabIndex={0} data-scrolls>
        {parts
          ? parts.map((p, i) => (p.kind === "plain" ? p.text : <span key={i} className={"j-" + p.kind}>{p.text}</span>))
          : shown}
      </pre>
      {rest > 0 && <ShowAll length={formatted.length} onClick={() => setAll(true)} />}
    </>
  );
}

function ShowAll({ length, onClick }: { length: number; onClick: () => void }) {
  return (
    <p className="show-all">
      The first {bytes(maxDrawn)} of {bytes(length)}.{" "}
      <button className="link" onClick={onClick}>
        Show all
      </button>
    </p>
  );
}
