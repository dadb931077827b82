import { MantineProvider } from "@mantine/core";
import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ApiError } from "./api/client";
import "./styles/index.css";
import { router } from "./router";
import { noVariables, theme } from "./theme";
import { Boundary } from "./ui/states";

const queries: QueryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (e) => {
      if (!(e instanceof ApiError)) return;
      // Perhaps another tab logged in as someone else: that is found out by asking.
      if (e.status === 403) void queries.invalidateQueries({ queryKey: ["me"] });
      // The session ended: log in and come back to the same place.
      if (e.status !== 401) return;
      if (router.state.location.pathname === "/login") return;
      const next = router.state.location.href;
      queries.clear();
      void router.navigate({ to: "/login", search: { next }, replace: true });
    },
  }),
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      refetchOnWindowFocus: false,
      retry: (n, e) => n < 2 && (!(e instanceof ApiError) || e.status === 0 || e.status >= 500),
    },
  },
});

const element = document.getElementById("root");
if (!element) throw new Error("the page has no #root");

createRoot(element).render(
  <StrictMode>
    <MantineProvider
      theme={theme}
      defaultColorScheme="auto"
      withCssVariables={false}
      withGlobalClasses={false}
      cssVariablesResolver={noVariables}
    >
      <Boundary>
        <QueryClientProvider client={queries}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      </Boundary>
    </MantineProvider>
  </StrictMode>,
);
