import { SegmentedControl, Tooltip, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { useIsFetching } from "@tanstack/react-query";
import { interval } from "../lib/format";
import { presets, type Preset } from "../lib/search";
import { useSearchState } from "../route";
import { useWindow } from "../window";
import { Icon } from "./icons";

/** TopBar is the page's title and what holds for all of it: the window and the colours. */
export function TopBar({ title, windowed = true }: { title: string; windowed?: boolean }) {
  return (
    <header className="top">
      <h1>{title}</h1>
      <span className="grow" />
      {windowed && <RangePicker />}
      <SchemeToggle />
    </header>
  );
}

function RangePicker() {
  const [, set] = useSearchState();
  const { window, refresh } = useWindow();
  const busy = useIsFetching() > 0;
  return (
    <>
      {window.preset === null && (
        <button className="chip on" onClick={() => set({ from: undefined, to: undefined })}>
          {interval(Date.parse(window.from), Date.parse(window.to))}
          <span className="vh">, chosen window. Back to the last 24 hours</span>
          <Icon name="close" size={12} />
        </button>
      )}
      <SegmentedControl
        size="xs"
        aria-label="Time range"
        value={window.preset ?? ""}
        onChange={(v) => set({ range: v as Preset, from: undefined, to: undefined })}
        data={[...presets]}
      />
      <Tooltip label="Refresh">
        <button className={busy ? "square busy" : "square"} onClick={refresh} aria-label="Refresh">
          <Icon name="retry" size={15} />
        </button>
      </Tooltip>
    </>
  );
}

/** SchemeToggle goes to the other colour scheme; where that is the system's, it follows the system again. */
export function SchemeToggle() {
  const { setColorScheme } = useMantineColorScheme({ keepTransitions: true });
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });
  const other = scheme === "dark" ? "light" : "dark";
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const label = `Switch to ${other} colours`;
  return (
    <Tooltip label={label}>
      <button className="square" onClick={() => setColorScheme(other === system ? "auto" : other)} aria-label={label}>
        <Icon name={scheme === "dark" ? "sun" : "moon"} />
      </button>
    </Tooltip>
  );
}
