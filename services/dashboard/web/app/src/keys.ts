import { useEffect, useEffectEvent } from "react";

/** useKeys listens for single keys, where nothing else takes them: not in fields, dialogs or with a modifier. */
export function useKeys(keys: Record<string, () => unknown>) {
  const onKey = useEffectEvent((e: KeyboardEvent) => {
    if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey) return;
    const target = e.target instanceof Element ? e.target : null;
    if (target?.closest("input:not([type=radio]), textarea, select, [contenteditable], dialog, [popover]")) return;
    // On a control, Enter and the arrows are its own.
    if (e.key !== "Escape" && e.key.length > 1 && target?.closest("input, button, a, summary, [role=tab], [data-scrolls]")) return;
    const act = Object.hasOwn(keys, e.key) ? keys[e.key] : undefined;
    // What a key did, it did not do twice: "/" would also go into the field that it went to.
    if (act && act() !== false && (e.key.startsWith("Arrow") || e.key === "/")) e.preventDefault();
  });
  useEffect(() => {
    const listen = (e: KeyboardEvent) => onKey(e);
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, []);
}

/** Every key that does something, for the help. */
export const shortcuts: { keys: string[]; does: string }[] = [
  { keys: ["⌘K", "Ctrl K"], does: "Go to a page, a trace or a view" },
  { keys: ["/"], does: "Filter" },
  { keys: ["j", "↓"], does: "Next trace" },
  { keys: ["k", "↑"], does: "Previous trace" },
  { keys: ["Enter"], does: "Open the trace" },
  { keys: ["→", "←"], does: "Into a row's values and out" },
  { keys: ["Esc"], does: "Close" },
  { keys: ["c"], does: "Copy the open trace as cURL" },
  { keys: ["l"], does: "Live tail" },
  { keys: ["p"], does: "Pause the live tail" },
  { keys: ["t", "1 … 6"], does: "Range, from 15 minutes to 30 days" },
  { keys: ["?"], does: "This list" },
];
