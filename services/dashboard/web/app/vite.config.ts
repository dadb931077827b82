import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const api = process.env.LOOM_DASHBOARD_URL ?? "http://127.0.0.1:8081";

export default defineConfig({
  base: "./", // files are named relative to the page's <base>, which the server sets
  plugins: [react()],
  build: {
    outDir: "../dist",
    emptyOutDir: false, // scripts/finish.mjs clears it and leaves .gitkeep
    target: "es2022",
    assetsInlineLimit: 0, // a data: URL would need a wider content security policy
    chunkSizeWarningLimit: 800,
    modulePreload: { polyfill: false },
    manifest: true, // read and removed by scripts/finish.mjs
  },
  server: { host: "127.0.0.1", proxy: { "/api": api } },
});
