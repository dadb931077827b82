import type { LinkProps } from "@tanstack/react-router";
import type { IconName } from "./ui/icons";

/** A page in the sidebar, and in the palette. */
export interface NavItem {
  to: NonNullable<LinkProps["to"]>;
  icon: IconName;
  label: string;
  /** A single key that goes there. */
  hotkey?: string;
}

export interface NavGroup {
  title: string;
  /** For administrators only. */
  admin?: boolean;
  items: NavItem[];
}

/** The sidebar, from top to bottom. */
export const nav: NavGroup[] = [
  {
    title: "Observe",
    items: [
      { to: "/overview", icon: "overview", label: "Overview" },
      { to: "/traces", icon: "traces", label: "Traces" },
      { to: "/live", icon: "live", label: "Live tail", hotkey: "l" },
    ],
  },
  {
    title: "Spend",
    items: [
      { to: "/costs", icon: "costs", label: "Costs" },
      { to: "/models", icon: "models", label: "Models" },
      { to: "/compare", icon: "compare", label: "Compare" },
    ],
  },
  { title: "Manage", admin: true, items: [{ to: "/pipeline", icon: "pipeline", label: "Pipeline" }] },
  {
    title: "Connect",
    items: [
      { to: "/playground", icon: "play", label: "Playground" },
      { to: "/start", icon: "start", label: "First request" },
    ],
  },
];

/** pagesFor lists the groups that someone of that role sees. */
export const pagesFor = (role: string) => nav.filter((g) => g.items.length > 0 && (!g.admin || role === "admin"));
