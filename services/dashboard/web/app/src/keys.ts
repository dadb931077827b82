import { useEffect, useEffectEvent } from "react";

/** useKeys listens for single keys, where nothing else takes them: not in fields, menus or with a modifier. */
export function useKeys(keys: Record<string, () => unknown>) {
  const onKey = useEffectEvent((e: KeyboardEvent) => {
    if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey) return;
    const target = e.target instanceof Element ? e.target : null;
    if (target?.closest("input, textarea, select, [contenteditable], [role=menu], [role=dialog], [role=radiogroup]")) return;
    // On a control, Enter and the arrows are its own.
    if (e.key !== "Escape" && e.key.length > 1 && target?.closest("button, a, summary, [role=tab], [data-scrolls]")) return;
    const act = Object.hasOwn(keys, e.key) ? keys[e.key] : undefined;
    if (act && act() !== false && e.key.startsWith("Arrow")) e.preventDefault();
  });
  useEffect(() => {
    const listen = (e: KeyboardEvent) => onKey(e);
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, []);
}
