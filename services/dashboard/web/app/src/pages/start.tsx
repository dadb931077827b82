import { Link, useLocation, useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { useFirstTrace } from "../api/tail";
import { quote } from "../lib/curl";
import { carried } from "../lib/search";
import { useSession } from "../session";
import { CopyIcon } from "../ui/copy";
import { Icon } from "../ui/icons";
import { TopBar } from "../ui/topbar";
import { useWindow } from "../window";

/** Start takes people to their first trace, and then to the list. */
export function Start() {
  const { me, header } = useSession();
  const { refresh } = useWindow();
  const any = useFirstTrace(header);
  const alone = useLocation().pathname === "/start"; // elsewhere it stands in for a list, which follows
  const navigate = useNavigate();
  const waited = useRef(false);
  useEffect(() => {
    if (any === false) waited.current = true;
    if (!alone || any !== true || !waited.current) return;
    refresh();
    void navigate({ to: "/traces", search: carried });
  }, [any, alone, refresh, navigate]);

  const url = me.gateway_url.replace(/\/+$/, "") + "/v1";
  const body = JSON.stringify({ model: "loom-demo", messages: [{ role: "user", content: "Hello, Loom!" }] });
  const request = [
    `curl ${url}/chat/completions`,
    `-H "Authorization: Bearer $LOOM_API_KEY"`,
    `-H 'Content-Type: application/json'`,
    `-d ${quote(body)}`,
  ].join(" \\\n  ");
  const python = `from openai import OpenAI\n\nclient = OpenAI(base_url="${url}", api_key=os.environ["LOOM_API_KEY"])`;
  return (
    <div className="page">
      <TopBar title="First request" windowed={false} />
      <section className="card start">
        <ol>
          <li>
            <h2>Have a key at hand</h2>
            <p>A tenant's key with the scope “chat”, the one you log in with or another. Keep it in the environment:</p>
            <Code text="export LOOM_API_KEY=loom_sk_…" copy="export LOOM_API_KEY=" />
          </li>
          <li>
            <h2>Send a request through Loom</h2>
            <p>
              The model <code>loom-demo</code> is built in and needs no account, where the demo provider is set up. Any other model that
              is routed works the same. The{" "}
              <Link to="/playground" search={carried} className="link">
                playground
              </Link>{" "}
              sends one from here.
            </p>
            <Code text={request} />
          </li>
          <li>
            <h2>Point your application here</h2>
            <p>Every OpenAI client takes a base URL; nothing else changes.</p>
            <Code text={"import os\n" + python} />
          </li>
        </ol>
        <p className="waiting" role="status">
          {any ? (
            <>
              <Icon name="check" /> Traces are coming in.{" "}
              <Link to="/traces" className="link">
                See them
              </Link>
            </>
          ) : (
            <>
              <i /> Waiting for the first trace. It appears here by itself.
            </>
          )}
        </p>
      </section>
    </div>
  );
}

function Code({ text, copy }: { text: string; copy?: string }) {
  return (
    <div className="code-box">
      <pre className="code" tabIndex={0}>
        {text}
      </pre>
      <CopyIcon text={copy ?? text} label="Copy" />
    </div>
  );
}
