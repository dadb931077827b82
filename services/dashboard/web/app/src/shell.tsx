import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { ApiError, basePath } from "./api/client";
import { me } from "./api/queries";
import { useKeys } from "./keys";
import { carried, presets } from "./lib/search";
import { pagesFor, type NavItem } from "./nav";
import { useSearchState } from "./route";
import { SessionProvider, useLogout, useSession } from "./session";
import { Icon, Logo } from "./ui/icons";
import { Failure, NoTenants } from "./ui/states";
import { TenantSwitcher } from "./ui/tenants";
import { OpenPalette } from "./ui/topbar";
import { WindowProvider } from "./window";

const Palette = lazy(() => import("./ui/palette").then((m) => ({ default: m.Palette })));
const Help = lazy(() => import("./ui/help").then((m) => ({ default: m.Help })));

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

const chord = 1_500; // ms in which a digit belongs to the "t" before it

function Frame() {
  const { me: who, tenant } = useSession();
  const [search, set] = useSearchState();
  const navigate = useNavigate();
  const logout = useLogout();
  const [over, setOver] = useState<"palette" | "help">();
  const groups = pagesFor(who.role);

  const armed = useRef(0);
  const inTime = (act: () => void) => () => (performance.now() - armed.current < chord ? (act(), (armed.current = 0)) : false);
  useKeys({
    "?": () => setOver("help"),
    "/": () => document.querySelector<HTMLElement>('[data-key="/"]')?.click(),
    t: () => (armed.current = performance.now()),
    ...Object.fromEntries(presets.map((range, i) => [String(i + 1), inTime(() => set({ range, from: undefined, to: undefined }))])),
    ...Object.fromEntries(
      groups.flatMap((g) => g.items.flatMap((p) => (p.hotkey ? [[p.hotkey, () => navigate({ to: p.to, search: carried(search) })]] : []))),
    ),
  });
  useEffect(() => {
    const listen = (e: KeyboardEvent) => {
      if (e.key !== "k" || !(e.metaKey || e.ctrlKey) || e.altKey || e.shiftKey) return;
      e.preventDefault();
      setOver((o) => (o === "palette" ? undefined : "palette"));
    };
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, []);

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
          <Logo /> <span>Loom</span>
        </div>
        <TenantSwitcher />
        {groups.map((g) => (
          <div className="group" key={g.title}>
            <h2>{g.title}</h2>
            {g.items.map((item) => (
              <NavLink key={item.to} item={item} />
            ))}
          </div>
        ))}
        <span className="grow" />
        <a className="nav" href={`${basePath}/api/v1/openapi.yaml`} target="_blank" rel="noreferrer">
          <Icon name="docs" /> <span>API reference</span>
        </a>
        <button className="nav" onClick={() => void logout()}>
          <Icon name="logout" /> <span>Log out</span>
        </button>
      </nav>
      <OpenPalette value={() => setOver("palette")}>
        <main id="main" tabIndex={-1}>
          {/* A new tenant is a new page: nothing of the one before stays on screen. */}
          {tenant ? <Outlet key={tenant.id} /> : <NoTenants />}
        </main>
      </OpenPalette>
      <Suspense>
        {over === "palette" && <Palette onClose={() => setOver(undefined)} onHelp={() => setOver("help")} />}
        {over === "help" && <Help onClose={() => setOver(undefined)} />}
      </Suspense>
    </div>
  );
}

function NavLink({ item: { to, icon, label } }: { item: NavItem }) {
  const [search] = useSearchState();
  const { pathname } = useLocation();
  const on = pathname === to || pathname.startsWith(to + "/");
  return (
    <Link to={to} search={carried(search)} className={on ? "nav on" : "nav"} activeProps={{}} aria-current={on ? "page" : undefined} title={label}>
      <Icon name={icon} /> <span>{label}</span>
    </Link>
  );
}
