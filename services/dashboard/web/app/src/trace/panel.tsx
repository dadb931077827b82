import { Link } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { useSearchState } from "../route";
import { Icon } from "../ui/icons";
import { TraceView } from "./view";

interface Props {
  id: string;
  onClose: () => void;
  /** Opens the next or the previous trace of the list; without it the trace is not in the list. */
  onStep: ((by: 1 | -1) => void) | undefined;
}

/** TracePanel shows a trace beside the list it was opened from. */
export function TracePanel({ id, onClose, onStep }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  const [search] = useSearchState();
  const { trace: _, ...rest } = search;
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  return (
    <aside className="panel" aria-label="Trace">
      <TraceView
        id={id}
        heading={heading}
        controls={
          <>
            {onStep && (
              <>
                <button className="icon-button" onClick={() => onStep(-1)} aria-label="Previous trace" title="Previous (k)">
                  <Icon name="up" />
                </button>
                <button className="icon-button" onClick={() => onStep(1)} aria-label="Next trace" title="Next (j)">
                  <Icon name="down" />
                </button>
              </>
            )}
            <Link to="/traces/$id" params={{ id }} search={rest} className="icon-button" aria-label="Open as a page" title="Open as a page">
              <Icon name="expand" size={15} />
            </Link>
            <button className="icon-button" onClick={onClose} aria-label="Close" title="Close (Esc)">
              <Icon name="close" />
            </button>
          </>
        }
      />
    </aside>
  );
}
