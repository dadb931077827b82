import { useMantineColorScheme } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { summary } from "../api/queries";
import { carried, type Search } from "../lib/search";
import { builtIns, saveView, viewSearch, views } from "../lib/views";
import { pagesFor } from "../nav";
import { useSearchState } from "../route";
import { useSession } from "../session";
import { useWindow } from "../window";
import { Dialog } from "./dialog";
import { Icon, type IconName } from "./icons";

interface Item {
  icon: IconName;
  label: string;
  kind: string;
  run: () => unknown;
  /** Offered whatever was typed. */
  always?: boolean;
}

const traceID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Palette goes to pages, traces and views by a few letters. */
export function Palette({ onClose, onHelp }: { onClose: () => void; onHelp: () => void }) {
  const { me, tenant } = useSession();
  const { scope, window } = useWindow();
  const [search, set] = useSearchState();
  const navigate = useNavigate();
  const { setColorScheme } = useMantineColorScheme();
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const plain = useQuery({ ...summary({ ...scope, filters: {} }), enabled: window !== undefined });

  const wanted = text.trim();
  const id = tenant?.id ?? "";
  const view = (patch: Search) => () => set({ ...patch, trace: undefined });
  const items: Item[] = [
    ...(traceID.test(wanted)
      ? [{ icon: "traces" as const, label: wanted, kind: "Trace", always: true, run: () => navigate({ to: "/traces/$id", params: { id: wanted.toLowerCase() }, search: carried(search) }) }]
      : []),
    ...pagesFor(me.role).flatMap((g) => g.items.map((p) => ({ icon: p.icon, label: p.label, kind: "Page", run: () => navigate({ to: p.to, search: carried(search) }) }))),
    ...views(id).map((v) => ({ icon: "bookmark" as const, label: v.name, kind: "View", run: view(viewSearch(v)) })),
    ...builtIns({ p95: plain.data?.latency_ms.p95, requests: plain.data?.requests.value, cost: plain.data?.cost_usd.value }).map((v) => ({
      icon: "bookmark" as const,
      label: v.name,
      kind: "View",
      run: view(v.filters),
    })),
    { icon: "sun", label: "Light colours", kind: "Theme", run: () => setColorScheme("light") },
    { icon: "moon", label: "Dark colours", kind: "Theme", run: () => setColorScheme("dark") },
    { icon: "sliders", label: "Colours of the system", kind: "Theme", run: () => setColorScheme("auto") },
    { icon: "docs", label: "Keys", kind: "Help", run: onHelp },
  ];
  const shown = items.filter((i) => i.always || `${i.label} ${i.kind}`.toLowerCase().includes(wanted.toLowerCase()));
  if (wanted && !traceID.test(wanted)) {
    shown.push({ icon: "plus", label: `Save what is shown as the view “${wanted}”`, kind: "View", run: () => saveView(id, wanted, search) });
  }
  const active = Math.min(at, shown.length - 1);
  const run = (i: number) => {
    onClose();
    void shown[i]?.run();
  };
  return (
    <Dialog label="Go to" className="palette" onClose={onClose}>
      <div className="palette-field">
        <Icon name="search" />
        <input
          role="combobox"
          aria-expanded="true"
          aria-controls="palette-list"
          aria-activedescendant={`palette-${active}`}
          aria-label="Go to a page, a trace id or a view"
          placeholder="A page, a trace id or a view"
          value={text}
          autoFocus
          spellCheck={false}
          onChange={(e) => {
            setText(e.currentTarget.value);
            setAt(0);
          }}
          onKeyDown={(e) => {
            if (e.key === "Enter") run(active);
            else if (e.key === "ArrowDown") setAt(Math.min(active + 1, shown.length - 1));
            else if (e.key === "ArrowUp") setAt(Math.max(active - 1, 0));
            else return;
            e.preventDefault();
          }}
        />
        <kbd>Esc</kbd>
      </div>
      <ul role="listbox" id="palette-list" aria-label="Results">
        {shown.map((item, i) => (
          <li
            key={item.kind + item.label}
            id={`palette-${i}`}
            role="option"
            aria-selected={i === active}
            ref={i === active ? reveal : undefined}
            onClick={() => run(i)}
            onPointerMove={() => setAt(i)}
          >
            <Icon name={item.icon} />
            <span className="ellipsis">{item.label}</span>
            <span className="dim">{item.kind}</span>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}

const reveal = (e: HTMLElement | null) => e?.scrollIntoView({ block: "nearest" });
