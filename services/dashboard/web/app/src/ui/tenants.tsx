import { Menu } from "@mantine/core";
import { useState } from "react";
import { useSearchState } from "../route";
import { useSession } from "../session";
import { Icon } from "./icons";

const searchFrom = 8;

/** TenantSwitcher names the tenant on screen; admins choose another. */
export function TenantSwitcher() {
  const { me, tenant } = useSession();
  const [, set] = useSearchState();
  const [filter, setFilter] = useState("");
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
  const all = me.tenants ?? [];
  const wanted = filter.trim().toLowerCase();
  const shown = all.filter((t) => t.id.includes(wanted) || t.name.toLowerCase().includes(wanted)).slice(0, 50);
  return (
    <Menu position="bottom-start" width={220} onClose={() => setFilter("")} trapFocus>
      <Menu.Target>
        <button className="tenant" aria-label={`Tenant ${tenant.name}. Choose another`}>
          {face}
          <Icon name="down" size={14} />
        </button>
      </Menu.Target>
      <Menu.Dropdown>
        {all.length > searchFrom && (
          <input
            className="field"
            aria-label="Find a tenant"
            placeholder="Find a tenant"
            value={filter}
            onChange={(e) => setFilter(e.currentTarget.value)}
            data-autofocus
          />
        )}
        <div className="scroll">
          {shown.map((t) => (
            <Menu.Item
              key={t.id}
              onClick={() => set({ tenant: t.id, trace: undefined, model: undefined, provider: undefined, key: undefined })}
              rightSection={t.id === tenant.id && <Icon name="check" size={14} />}
            >
              {t.name || t.id}
            </Menu.Item>
          ))}
          {shown.length === 0 && <p className="hint">No tenant has this in its name.</p>}
        </div>
      </Menu.Dropdown>
    </Menu>
  );
}
