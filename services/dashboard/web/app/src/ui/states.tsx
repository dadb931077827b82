import { Link } from "@tanstack/react-router";
import { Component, type ReactNode } from "react";
import { ApiError } from "../api/client";
import { Icon, type IconName } from "./icons";

/** Failure says what could not be loaded and why, and offers to try again. */
export function Failure({ what, error, retry }: { what: string; error: Error; retry?: () => void }) {
  return (
    <div className="failure" role="alert">
      <Icon name="alert" />
      <div>
        <b>{what}</b>
        <p>{error.message}</p>
        {error instanceof ApiError && error.requestID && <p className="mono">request {error.requestID}</p>}
        {retry && (
          <button className="link" onClick={retry}>
            Retry
          </button>
        )}
      </div>
    </div>
  );
}

/** Empty stands where there is nothing, and says what to do about it. */
export function Empty({ icon, title, children }: { icon: IconName; title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <span className="badge">
        <Icon name={icon} size={18} />
      </span>
      <h2>{title}</h2>
      <div>{children}</div>
    </div>
  );
}

export function NotFound() {
  return (
    <main className="alone">
      <Empty icon="alert" title="There is no such page">
        <Link to="/overview" className="link">
          Go to the overview
        </Link>
      </Empty>
    </main>
  );
}

export function NoTenants() {
  return (
    <Empty icon="user" title="No tenants yet">
      <p>Traces belong to a tenant. Make the first one and reload:</p>
      <pre className="code" tabIndex={0}>loom tenant create acme</pre>
    </Empty>
  );
}

/** Broken stands where a page failed by a fault of its own, or could not be fetched. */
export function Broken({ error }: { error: unknown }) {
  return (
    <main className="alone">
      <Empty icon="alert" title="This page broke">
        <p>{error instanceof Error ? error.message : String(error)}</p>
        <p>If the dashboard was just updated, loading it again helps.</p>
        <button className="button" onClick={() => location.reload()}>
          Load again
        </button>
      </Empty>
    </main>
  );
}

/** Boundary keeps a fault from leaving a blank page. */
export class Boundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state = { error: null };
  static getDerivedStateFromError(error: Error) {
    return { error };
  }
  override render() {
    return this.state.error ? <Broken error={this.state.error} /> : this.props.children;
  }
}
