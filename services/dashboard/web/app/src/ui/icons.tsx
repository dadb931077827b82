/** Every icon of the dashboard: one 24 px path each, drawn with a stroke. */
const paths = {
  overview: "M4 5.5A1.5 1.5 0 0 1 5.5 4H10v8H4zM14 4h4.5A1.5 1.5 0 0 1 20 5.5V8h-6zM14 12h6v6.5a1.5 1.5 0 0 1-1.5 1.5H14zM4 16h6v4H5.5A1.5 1.5 0 0 1 4 18.5z",
  traces: "M4 6h9M17 6h3M4 12h4M12 12h8M4 18h11M19 18h1",
  live: "M12 13.2a1.2 1.2 0 1 0 0-2.4 1.2 1.2 0 0 0 0 2.4zM8.5 15.5a5 5 0 0 1 0-7M15.5 15.5a5 5 0 0 0 0-7M5.6 18.4a9 9 0 0 1 0-12.8M18.4 18.4a9 9 0 0 0 0-12.8",
  costs: "M16.5 7.5c-.8-1.4-2.4-2-4.5-2-2.6 0-4.3 1.2-4.3 3.2 0 4.6 9.3 2 9.3 6.8 0 2-2 3-4.8 3-2.4 0-4.2-.8-5-2.4M12 3v18",
  models: "M12 3.5l7.5 4.2v8.6L12 20.5l-7.5-4.2V7.7zM4.7 7.8L12 12l7.3-4.2M12 12v8.3",
  compare: "M4 5h6.5v14H4zM13.5 5H20v14h-6.5zM7.2 12v4M16.8 9v7",
  pipeline: "M4 9.5h4v5H4zM16 5h4v5h-4zM16 14h4v5h-4zM8 12h4M12 7.5v9M12 7.5h4M12 16.5h4",
  pause: "M8.5 5.5v13M15.5 5.5v13",
  stop: "M6.5 6.5h11v11h-11z",
  swap: "M4 8.5h15M15.5 5l3.5 3.5M20 15.5H5M8.5 19L5 15.5",
  start: "M13 3L5 13.5h6L10 21l9-11.5h-6.5z",
  docs: "M6 3.5h8l4.5 4.5v12.5H6zM13.5 4v4.5H18M9.5 13h5.5M9.5 16.5h5.5",
  sun: "M12 15.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M5.6 18.4l1.1-1.1M17.3 6.7l1.1-1.1",
  moon: "M19.5 14.2A8 8 0 0 1 9.8 4.5a8 8 0 1 0 9.7 9.7z",
  close: "M6.5 6.5l11 11M17.5 6.5l-11 11",
  up: "M6.5 14.5L12 9l5.5 5.5",
  down: "M6.5 9.5L12 15l5.5-5.5",
  left: "M14.5 6.5L9 12l5.5 5.5",
  copy: "M9 9h11v11H9zM15 6V4H4v11h2",
  check: "M5 12.8l4.3 4.2L19 7.5",
  link: "M10 14l4-4M11 7l2-2a4.2 4.2 0 0 1 6 6l-2 2M13 17l-2 2a4.2 4.2 0 0 1-6-6l2-2",
  expand: "M14 4h6v6M20 4l-7 7M10 20H4v-6M4 20l7-7",
  tool: "M14.8 6.3a4 4 0 0 1 4.6-1.4l-2.6 2.6 1.7 1.7L21 6.7a4 4 0 0 1-5.6 4.8l-7.3 7.6a2.1 2.1 0 0 1-3-3l7.5-7.3a4 4 0 0 1 2.2-2.5z",
  user: "M12 11.5a3.7 3.7 0 1 0 0-7.4 3.7 3.7 0 0 0 0 7.4zM5 20c.6-3.6 3.3-5.3 7-5.3s6.4 1.7 7 5.3",
  spark: "M12 4l1.8 5.2a1.7 1.7 0 0 0 1 1L20 12l-5.2 1.8a1.7 1.7 0 0 0-1 1L12 20l-1.8-5.2a1.7 1.7 0 0 0-1-1L4 12l5.2-1.8a1.7 1.7 0 0 0 1-1z",
  sliders: "M4 8h8M17 8h3M4 16h3M12 16h8M14.5 5.5v5M9.5 13.5v5",
  lock: "M6 11h12v9H6zM8.5 11V8.2a3.5 3.5 0 0 1 7 0V11",
  filter: "M4 6.5h16M7.5 12h9M10.5 17.5h3",
  retry: "M19.5 12a7.5 7.5 0 1 1-2.3-5.4L20 9.3M20 4.5v4.8h-4.8",
  branch: "M7 8v8M7 8a2.2 2.2 0 1 0 0-.01zM7 20.5a2.2 2.2 0 1 0 0-.01zM17 12.5a2.2 2.2 0 1 0 0-.01zM7 16c0-4 3-5.5 7.5-5.5",
  image: "M4 5h16v14H4zM4 16l4.5-4.5 4 4 3-3L20 17M15 9.2h.01",
  thought: "M12 4c4.7 0 8 2.7 8 6.3s-3.3 6.3-8 6.3c-.7 0-1.4-.1-2-.2L6 19v-3.7c-1.3-1.2-2-2.9-2-5C4 6.7 7.3 4 12 4z",
  download: "M12 4v11M7.5 11l4.5 4.5 4.5-4.5M4.5 20h15",
  logout: "M14 4H5v16h9M10 12h10M16.5 8.5L20 12l-3.5 3.5",
  eye: "M3 12c2-4 5.2-6 9-6s7 2 9 6c-2 4-5.2 6-9 6s-7-2-9-6zM12 14.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16 16l4.5 4.5",
  calendar: "M5 6h14v14H5zM5 10.5h14M9 3.5V7M15 3.5V7",
  bookmark: "M7 4.5h10V20l-5-4-5 4z",
  plus: "M12 5v14M5 12h14",
  columns: "M4 5h16v14H4zM9.5 5v14M14.5 5v14",
  play: "M8 5.5l10.5 6.5L8 18.5z",
  alert: "M12 4.5l8.5 15h-17zM12 10v4.5M12 17h.01",
} as const;

export type IconName = keyof typeof paths;

/** Icon draws one icon in the colour of the text around it; it says nothing to a screen reader. */
export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg className="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}

/** Logo is Loom's mark: warp and weft. */
export function Logo({ size = 22 }: { size?: number }) {
  return (
    <svg className="logo" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d="M4 8h6m4 0h6M4 16h2m4 0h10M8 4v6m0 4v6M16 4v2m0 4v10" />
    </svg>
  );
}
