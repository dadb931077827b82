import { useState } from "react";
import { noFilters } from "../lib/search";
import { useSearchState } from "../route";
import { useSession } from "../session";
import { Icon } from "./icons";
import { Pop } from "./pop";

const searchFrom = 8;
const atOnce = 50;

/** TenantSwitcher names the tenant on screen; admins choose another. */
export function TenantSwitcher() {
  const { me, tenant } = useSession();
  const face = (
    <>
      <span className="avatar" aria-hidden="true">
        {(tenant?.name || tenant?.id || "–").slice(0, 1).toUpperCase()}
      </span>
      <span className="names">
        <b>{tenant?.name || tenant?.id || "No tenant"}</b>
        <small>{me.role === "admin" ? `admin · ${me.key_name}` : me.key_name}</small>
      </span>
    </>
  );
  if (me.role !== "admin" || !tenant) return <div className="tenant">{face}</div>;
  return (
    <Pop
      className="tenant"
      label={`Tenant ${tenant.name}. Choose another`}
      width={224}
      face={
        <>
          {face}
          <Icon name="down" size={14} />
        </>
      }
    >
      {(close) => <Tenants close={close} />}
    </Pop>
  );
}

function Tenants({ close }: { close: () => void }) {
  const { me, tenant } = useSession();
  const [, set] = useSearchState();
  const [filter, setFilter] = useState("");
  const all = me.tenants ?? [];
  const wanted = filter.trim().toLowerCase();
  const shown = all.filter((t) => t.id.includes(wanted) || t.name.toLowerCase().includes(wanted)).slice(0, atOnce);
  return (
    <>
      {all.length > searchFrom && (
        <input
          className="field"
          aria-label="Find a tenant"
          placeholder="Find a tenant"
          value={filter}
          onChange={(e) => setFilter(e.currentTarget.value)}
          autoFocus
        />
      )}
      <div className="options">
        {shown.map((t) => (
          <button
            key={t.id}
            className="option"
            aria-pressed={t.id === tenant?.id}
            onClick={() => {
              // The other tenant's models, keys and tags are its own.
              set({ ...noFilters, tenant: t.id, trace: undefined, tab: undefined });
              close();
            }}
          >
            <span className="tick">{t.id === tenant?.id && <Icon name="check" size={14} />}</span>
            <span className="ellipsis">{t.name || t.id}</span>
          </button>
        ))}
        {shown.length === 0 && <p className="hint">No tenant has this in its name.</p>}
      </div>
    </>
  );
}
