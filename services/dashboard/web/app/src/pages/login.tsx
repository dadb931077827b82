import { PasswordInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRouter, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { basePath, client, data } from "../api/client";
import { Logo } from "../ui/icons";
import { SchemeToggle } from "../ui/topbar";

/** Login trades an API key for a session, and goes back to where someone wanted to be. */
export function Login() {
  const [key, setKey] = useState("");
  const { next } = useSearch({ from: "/login" });
  const router = useRouter();
  const queries = useQueryClient();
  const login = useMutation({
    mutationFn: (api_key: string) => data(client.POST("/api/v1/session", { body: { api_key } })),
    onSuccess: async () => {
      queries.clear();
      if (next) router.history.replace(basePath + next);
      else await router.navigate({ to: "/overview", search: {}, replace: true });
    },
  });
  const given = key.trim();
  return (
    <main className="login">
      <div className="corner">
        <SchemeToggle />
      </div>
      <form
        className="card"
        onSubmit={(e) => {
          e.preventDefault();
          if (given) login.mutate(given);
        }}
      >
        <div className="brand">
          <Logo size={26} /> Loom
        </div>
        <h1>Log in with an API key</h1>
        <PasswordInput
          label="API key"
          placeholder="loom_sk_…"
          value={key}
          onChange={(e) => {
            setKey(e.currentTarget.value);
            login.reset();
          }}
          error={login.error?.message}
          autoComplete="off"
          spellCheck={false}
          autoFocus
          visibilityToggleButtonProps={{ "aria-label": "Show the key" }}
        />
        <button className="button primary" type="submit" disabled={!given || login.isPending}>
          {login.isPending ? "Checking…" : "Log in"}
        </button>
        <details>
          <summary>Which key is that?</summary>
          <p>
            The one your applications send to Loom. It starts with <code>loom_sk_</code>, or with <code>loom_adm_</code> for an
            administrator, who sees every tenant. After <code>make run</code> both are in <code>.loom/dev.env</code>.
          </p>
          <p>The key is sent once. The browser keeps a session cookie that no script can read, not the key.</p>
        </details>
      </form>
    </main>
  );
}
