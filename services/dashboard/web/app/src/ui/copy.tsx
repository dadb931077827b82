import { useClipboard } from "@mantine/hooks";
import { Icon, type IconName } from "./icons";

/** CopyIcon copies a text and says so. */
export function CopyIcon({ text, label, icon = "copy" }: { text: string; label: string; icon?: IconName }) {
  const clipboard = useClipboard({ timeout: 1500 });
  const said = clipboard.copied ? "Copied" : label;
  return (
    <button className="icon-button" onClick={() => clipboard.copy(text)} aria-label={said} title={said}>
      <Icon name={clipboard.copied ? "check" : icon} size={15} />
    </button>
  );
}

interface Props {
  label: string;
  /** The text, or where it comes from. */
  text: string | (() => Promise<string>);
  /** Why it cannot be copied. */
  disabled?: string;
  /** Names the button to the keys. */
  name?: string;
}

/** CopyButton is CopyIcon with its label in words. */
export function CopyButton({ text, label, disabled, name }: Props) {
  const clipboard = useClipboard({ timeout: 1500 });
  const copy = async () => clipboard.copy(typeof text === "string" ? text : await text());
  return (
    <button className="button" aria-disabled={disabled !== undefined} title={disabled} data-key={name} onClick={() => disabled === undefined && void copy()}>
      <Icon name={clipboard.copied ? "check" : "copy"} size={14} />
      <span aria-live="polite">{clipboard.copied ? "Copied" : clipboard.error ? "The browser refused to copy" : label}</span>
    </button>
  );
}
