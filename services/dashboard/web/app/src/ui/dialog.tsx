import { useEffect, useRef, type ReactNode } from "react";

interface Props {
  label: string;
  className: string;
  onClose: () => void;
  children: ReactNode;
}

/** Dialog is the browser's own modal dialog: it keeps the focus, Esc closes it, and the focus goes back. */
export function Dialog({ label, className, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const d = dialog.current;
    d?.showModal();
    return () => d?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-label={label}
      className={`dialog ${className}`}
      onClose={onClose}
      onClick={(e) => e.target === e.currentTarget && onClose()}
      onKeyDown={(e) => {
        if (e.key !== "Escape") return;
        // The browser would close at once and tell of it later: a Ctrl+K in between would be lost.
        e.preventDefault();
        onClose();
      }}
    >
      <div className="dialog-body">{children}</div>
    </dialog>
  );
}
