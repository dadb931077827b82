import { createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";
import { basePath } from "./api/client";
import { carried, parse, stringify } from "./lib/search";
import { Overview } from "./pages/overview";
import { Traces } from "./pages/traces";
import { root } from "./route";
import { Shell } from "./shell";
import { Broken, NotFound } from "./ui/states";

const app = createRoute({ getParentRoute: () => root, id: "app", component: Shell });

const index = createRoute({
  getParentRoute: () => root,
  path: "/",
  beforeLoad: ({ search }) => {
    throw redirect({ to: "/overview", search: carried(search), replace: true });
  },
});

const login = createRoute({
  getParentRoute: () => root,
  path: "/login",
  component: lazyRouteComponent(() => import("./pages/login"), "Login"),
  validateSearch: (raw: Record<string, unknown>): { next?: string } =>
    typeof raw.next === "string" && /^\/(?![/\\])/.test(raw.next) ? { next: raw.next } : {},
});

const overview = createRoute({ getParentRoute: () => app, path: "/overview", component: Overview });
const traces = createRoute({ getParentRoute: () => app, path: "/traces", component: Traces });
const trace = createRoute({ getParentRoute: () => app, path: "/traces/$id", component: lazyRouteComponent(() => import("./pages/trace"), "TracePage") });
const live = createRoute({ getParentRoute: () => app, path: "/live", component: lazyRouteComponent(() => import("./pages/live"), "Live") });
const costs = createRoute({ getParentRoute: () => app, path: "/costs", component: lazyRouteComponent(() => import("./pages/costs"), "Costs") });
const models = createRoute({ getParentRoute: () => app, path: "/models", component: lazyRouteComponent(() => import("./pages/models"), "Models") });
const compare = createRoute({ getParentRoute: () => app, path: "/compare", component: lazyRouteComponent(() => import("./pages/compare"), "Compare") });
const pipeline = createRoute({ getParentRoute: () => app, path: "/pipeline", component: lazyRouteComponent(() => import("./pages/pipeline"), "Pipeline") });
const playground = createRoute({ getParentRoute: () => app, path: "/playground", component: lazyRouteComponent(() => import("./pages/playground"), "Playground") });
const start = createRoute({ getParentRoute: () => app, path: "/start", component: lazyRouteComponent(() => import("./pages/start"), "Start") });

export const router = createRouter({
  routeTree: root.addChildren([index, login, app.addChildren([overview, traces, trace, live, costs, models, compare, pipeline, playground, start])]),
  basepath: basePath || "/",
  parseSearch: parse,
  stringifySearch: stringify,
  defaultNotFoundComponent: NotFound,
  defaultErrorComponent: Broken,
  notFoundMode: "root",
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
