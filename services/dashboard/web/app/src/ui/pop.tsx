import { useId, useRef, useState, type ReactNode } from "react";

interface Props {
  /** What the button shows. */
  face: ReactNode;
  className: string;
  /** Names the button where its face does not. */
  label?: string;
  /** Names the button to the keys, such as "/". */
  name?: string;
  width: number;
  children: (close: () => void) => ReactNode;
}

const edge = 8;

/** Pop is a button with a box below it, in the browser's own top layer: Esc and a click elsewhere close it. */
export function Pop({ face, className, label, name, width, children }: Props) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  const place = () => {
    if (!button.current || !box.current) return;
    const at = button.current.getBoundingClientRect();
    const wide = Math.min(width, innerWidth - 2 * edge);
    const { style } = box.current;
    style.width = `${wide}px`;
    style.left = `${Math.max(edge, Math.min(at.left, innerWidth - wide - edge))}px`;
    const below = innerHeight - at.bottom - 6 - edge;
    if (below > 260) {
      style.top = `${at.bottom + 6}px`;
      style.bottom = "auto";
      style.maxHeight = `${below}px`;
    } else {
      style.top = "auto";
      style.bottom = `${innerHeight - at.top + 6}px`;
      style.maxHeight = `${at.top - 6 - edge}px`;
    }
  };
  return (
    <>
      <button ref={button} className={className} aria-label={label} aria-expanded={open} popoverTarget={id} data-key={name}>
        {face}
      </button>
      <div
        ref={box}
        id={id}
        popover="auto"
        className="pop"
        onBeforeToggle={(e) => {
          if (e.newState === "open") place();
        }}
        onToggle={(e) => setOpen(e.newState === "open")}
      >
        {open && children(() => box.current?.hidePopover())}
      </div>
    </>
  );
}
