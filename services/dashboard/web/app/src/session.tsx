import { useQueryClient } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { createContext, use, useCallback, useEffect, useMemo, type ReactNode } from "react";
import { client, data, type Me } from "./api/client";
import { useSearchState } from "./route";

/** Who is looking, and at which tenant. */
export interface Session {
  me: Me;
  /** The tenant that is shown; null: an admin of a Loom without tenants. */
  tenant: { id: string; name: string } | null;
  /** What questions name: the tenant of an admin, else nothing, as the key says it. */
  header: string | undefined;
  canDecrypt: boolean;
}

const Context = createContext<Session | null>(null);
const lastTenant = "loom-tenant";

export function SessionProvider({ me, children }: { me: Me; children: ReactNode }) {
  const [search] = useSearchState();
  const session = useMemo<Session>(() => {
    const admin = me.role === "admin";
    const wanted = search.tenant ?? read(lastTenant);
    const tenant = admin ? (me.tenants?.find((t) => t.id === wanted) ?? me.tenants?.[0] ?? null) : me.tenant;
    return { me, tenant, header: admin ? tenant?.id : undefined, canDecrypt: admin || me.scopes.includes("traces:decrypt") };
  }, [me, search.tenant]);
  useEffect(() => {
    if (session.header) write(lastTenant, session.header);
  }, [session.header]);
  return <Context value={session}>{children}</Context>;
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

function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function write(key: string, value: string) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Storage is off: the choice lasts as long as the URL.
  }
}
