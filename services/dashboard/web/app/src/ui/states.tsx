import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
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
