import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useEffect } from "react";
import { useKeys } from "../keys";
import { carried } from "../lib/search";
import { useSearchState } from "../route";
import { TraceView } from "../trace/view";
import { Icon } from "../ui/icons";
import { useTraceList } from "../ui/list";
import { TopBar } from "../ui/topbar";
import { useWindow } from "../window";

/** TracePage is a trace at its own address; it steps through the same list as the panel. */
export function TracePage() {
  const { id } = useParams({ from: "/app/traces/$id" });
  const [search] = useSearchState();
  const navigate = useNavigate();
  const { hold } = useWindow();
  const { flat, beside } = useTraceList();
  const listed = flat.index.has(id);
  useEffect(() => {
    hold(true); // the list that is stepped through stays as it is
    return () => hold(false);
  }, [hold]);

  const step = async (by: 1 | -1) => {
    const next = await beside(id, by);
    if (next) await navigate({ to: "/traces/$id", params: { id: next.id }, search, replace: true });
  };
  const back = () => navigate({ to: "/traces", search: carried(search) });
  useKeys({
    j: () => void step(1),
    k: () => void step(-1),
    Escape: back,
    c: () => document.querySelector<HTMLElement>('.trace-card [data-key="c"]')?.click(),
  });
  return (
    <div className="page">
      <TopBar title="Trace" windowed={false}>
        <Link to="/traces" search={carried(search)} className="back">
          <Icon name="left" size={15} /> Traces
        </Link>
      </TopBar>
      <section className="card trace-card">
        <TraceView
          id={id}
          controls={
            <>
              {listed && (
                <>
                  <button className="icon-button" onClick={() => void step(-1)} aria-label="Previous trace" title="Previous (k)">
                    <Icon name="up" />
                  </button>
                  <button className="icon-button" onClick={() => void step(1)} aria-label="Next trace" title="Next (j)">
                    <Icon name="down" />
                  </button>
                </>
              )}
              <button className="icon-button" onClick={() => void back()} aria-label="Close" title="Close (Esc)">
                <Icon name="close" />
              </button>
            </>
          }
        />
      </section>
    </div>
  );
}
