import { useQueryClient } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { createContext, use, useCallback, useEffect, useMemo, useState, type ReactNode } from "react";
import { client, data, type Me } from "./api/client";
import { read, write } from "./lib/storage";
import { useSearchState } from "./route";
import { Empty } from "./ui/states";

/** Who is looking, and at which tenant. */
export interface Session {
  me: Me;
  /** The tenant that is shown; null: an admin of a Loom without tenants. */
  tenant: { id: string; name: string } | null;
  /** The tenant that every question names, so that no other one's answer can come. */
  header: string | undefined;
  canDecrypt: boolean;
}

const Context = createContext<Session | null>(null);
const lastTenant = "loom-tenant";

const identity = (me: Me) => `${me.role} ${me.tenant?.id ?? ""}`;

/** SessionProvider holds on to the session that the page began with: the cookie is the whole browser's, the page is not. */
export function SessionProvider({ me, children }: { me: Me; children: ReactNode }) {
  const [search] = useSearchState();
  const [began] = useState(() => identity(me));
  const session = useMemo<Session>(() => {
    const admin = me.role === "admin";
    const wanted = search.tenant ?? read(lastTenant);
    const tenant = admin ? (me.tenants?.find((t) => t.id === wanted) ?? me.tenants?.[0] ?? null) : me.tenant;
    return { me, tenant, header: tenant?.id, canDecrypt: admin || me.scopes.includes("traces:decrypt") };
  }, [me, search.tenant]);
  const chosen = session.me.role === "admin" ? session.header : undefined;
  useEffect(() => {
    if (chosen) write(lastTenant, chosen);
  }, [chosen]);
  if (identity(me) !== began) return <OtherLogin me={me} />;
  return <Context value={session}>{children}</Context>;
}

/** OtherLogin takes the place of a page whose session was replaced from another tab. */
function OtherLogin({ me }: { me: Me }) {
  const who = me.role === "admin" ? `the administrator ${me.key_name}` : (me.tenant?.name ?? me.tenant?.id ?? me.key_name);
  return (
    <main className="alone">
      <Empty icon="user" title={`Somebody logged in as ${who} in this browser`}>
        <p>This page began with another login, which that one replaced. Nothing of either is shown here.</p>
        <button
          className="button primary"
          onClick={() => {
            // What the address says was about the other login's data.
            location.assign(new URL("overview", document.baseURI));
          }}
        >
          Reload as {who}
        </button>
      </Empty>
    </main>
  );
}

export function useSession(): Session {
  const s = use(Context);
  if (!s) throw new Error("useSession outside of SessionProvider");
  return s;
}

/** useLogout ends the session and forgets everything that was read in it. */
export function useLogout() {
  const queries = useQueryClient();
  const router = useRouter();
  return useCallback(async () => {
    await data(client.DELETE("/api/v1/session")).catch(() => undefined); // gone or unreachable: leave all the same
    await router.navigate({ to: "/login", search: {} });
    queries.clear();
  }, [queries, router]);
}
