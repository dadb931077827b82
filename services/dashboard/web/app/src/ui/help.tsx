import { Fragment } from "react";
import { shortcuts } from "../keys";
import { pagesFor } from "../nav";
import { useSession } from "../session";
import { Dialog } from "./dialog";

/** Help lists the keys. */
export function Help({ onClose }: { onClose: () => void }) {
  const { me } = useSession();
  const pages = pagesFor(me.role).flatMap((g) => g.items);
  const keys = [...shortcuts, ...pages.flatMap((p) => (p.hotkey ? [{ keys: [p.hotkey], does: p.label }] : []))];
  return (
    <Dialog label="Keys" className="help" onClose={onClose}>
      <h2>Keys</h2>
      <dl>
        {keys.map((s) => (
          <div key={s.does}>
            <dt>
              {s.keys.map((k, i) => (
                <Fragment key={k}>
                  {i > 0 && " "}
                  <kbd>{k}</kbd>
                </Fragment>
              ))}
            </dt>
            <dd>{s.does}</dd>
          </div>
        ))}
      </dl>
      <p className="dim">Charts: drag to zoom, click a bar for its traces, click a name below to hide it, Alt-click to see only that one.</p>
      <button className="button" onClick={onClose} autoFocus>
        Close
      </button>
    </Dialog>
  );
}
