import { Link, useParams } from "@tanstack/react-router";
import { carried } from "../lib/search";
import { useSearchState } from "../route";
import { TraceView } from "../trace/view";
import { Icon } from "../ui/icons";
import { SchemeToggle } from "../ui/topbar";

/** TracePage is a trace at its own address. */
export function TracePage() {
  const { id } = useParams({ from: "/app/traces/$id" });
  const [search] = useSearchState();
  return (
    <div className="page">
      <header className="top">
        <Link to="/traces" search={carried(search)} className="back">
          <Icon name="left" size={15} /> Traces
        </Link>
        <h1 className="vh">Trace</h1>
        <span className="grow" />
        <SchemeToggle />
      </header>
      <section className="card trace-card">
        <TraceView id={id} />
      </section>
    </div>
  );
}
