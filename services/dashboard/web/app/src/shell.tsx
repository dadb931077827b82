import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useLocation } from "@tanstack/react-router";
import { ApiError, basePath } from "./api/client";
import { me } from "./api/queries";
import { carried } from "./lib/search";
import { useSearchState } from "./route";
import { SessionProvider, useLogout, useSession } from "./session";
import { Icon, Logo, type IconName } from "./ui/icons";
import { Failure, NoTenants } from "./ui/states";
import { TenantSwitcher } from "./ui/tenants";
import { WindowProvider } from "./window";

/** Shell is the frame around every page of someone who is logged in. */
export function Shell() {
  const q = useQuery(me());
  if (q.data) {
    return (
      <SessionProvider me={q.data}>
        <WindowProvider>
          <Frame />
        </WindowProvider>
      </SessionProvider>
    );
  }
  if (q.error && !(q.error instanceof ApiError && q.error.status === 401)) {
    return (
      <main className="alone">
        <Logo size={30} />
        <Failure what="The dashboard could not be loaded." error={q.error} retry={() => void q.refetch()} />
      </main>
    );
  }
  return <div className="shell" aria-busy="true" />; // a moment: the answer is small
}

function Frame() {
  const { tenant } = useSession();
  const logout = useLogout();
  return (
    <div className="shell">
      <button
        className="skip"
        onClick={() => document.getElementById("main")?.focus()} // an anchor would go by the page's <base>
      >
        Skip to content
      </button>
      <nav className="side" aria-label="Main">
        <div className="brand">
          <Logo /> Loom
        </div>
        <TenantSwitcher />
        <div className="group">
          <h2>Observe</h2>
          <NavLink to="/overview" icon="overview" label="Overview" />
          <NavLink to="/traces" icon="traces" label="Traces" />
        </div>
        <div className="group">
          <h2>Connect</h2>
          <NavLink to="/start" icon="start" label="First request" />
          <a className="nav" href={`${basePath}/api/v1/openapi.yaml`} target="_blank" rel="noreferrer">
            <Icon name="docs" /> API reference
          </a>
        </div>
        <span className="grow" />
        <button className="nav" onClick={() => void logout()}>
          <Icon name="logout" /> Log out
        </button>
      </nav>
      <main id="main" tabIndex={-1}>
        {/* A new tenant is a new page: nothing of the one before stays on screen. */}
        {tenant ? <Outlet key={tenant.id} /> : <NoTenants />}
      </main>
    </div>
  );
}

function NavLink({ to, icon, label }: { to: "/overview" | "/traces" | "/start"; icon: IconName; label: string }) {
  const [search] = useSearchState();
  const { pathname } = useLocation();
  const on = pathname === to || pathname.startsWith(to + "/");
  return (
    <Link to={to} search={carried(search)} className={on ? "nav on" : "nav"} activeProps={{}} aria-current={on ? "page" : undefined}>
      <Icon name={icon} /> {label}
    </Link>
  );
}
