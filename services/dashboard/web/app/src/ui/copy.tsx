import { Tooltip } from "@mantine/core";
import { useClipboard } from "@mantine/hooks";
import { Icon, type IconName } from "./icons";

/** CopyIcon copies a text and says so. */
export function CopyIcon({ text, label, icon = "copy" }: { text: string; label: string; icon?: IconName }) {
  const clipboard = useClipboard({ timeout: 1500 });
  return (
    <Tooltip label={clipboard.copied ? "Copied" : label}>
      <button className="icon-button" onClick={() => clipboard.copy(text)} aria-label={clipboard.copied ? "Copied" : label}>
        <Icon name={clipboard.copied ? "check" : icon} size={15} />
      </button>
    </Tooltip>
  );
}

/** CopyButton is CopyIcon with its label in words. */
export function CopyButton({ text, label, disabled }: { text: string; label: string; disabled?: string }) {
  const clipboard = useClipboard({ timeout: 1500 });
  const button = (
    <button className="button" aria-disabled={disabled !== undefined} onClick={() => disabled === undefined && clipboard.copy(text)}>
      <Icon name={clipboard.copied ? "check" : "copy"} size={14} />
      {clipboard.copied ? "Copied" : label}
    </button>
  );
  return disabled === undefined ? button : <Tooltip label={disabled}>{button}</Tooltip>;
}
