// Finishes a build: drops files of earlier builds, writes the compressed forms that the
// server sends, and holds the build to its size budgets.
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { constants, gzipSync } from "node:zlib";

const dist = join(dirname(fileURLToPath(import.meta.url)), "../../dist");
const page = readFileSync(join(dist, "index.html"), "utf8");
const manifest = JSON.parse(readFileSync(join(dist, ".vite/manifest.json"), "utf8"));

// What this build wrote; everything else under assets/ is from before.
const current = new Set(Object.values(manifest).flatMap((e) => [e.file, ...(e.css ?? []), ...(e.assets ?? [])]));
for (const name of readdirSync(join(dist, "assets"))) {
  if (!current.has(`assets/${name}`)) rmSync(join(dist, "assets", name));
}
rmSync(join(dist, ".vite"), { recursive: true });

const budget = { js: 220_000, css: 20_000, font: 100_000 }; // of the first page
const budgetOfAll = { js: 330_000, css: 20_000, font: Infinity };
const size = { js: 0, css: 0, font: 0 };
const total = { js: 0, css: 0, font: 0 };
const kind = { ".js": "js", ".css": "css", ".woff2": "font" };

for (const name of current) {
  const body = readFileSync(join(dist, name));
  const k = kind[extname(name)];
  let bytes = body.length;
  if (k === "js" || k === "css" || extname(name) === ".svg") {
    const packed = gzipSync(body, { level: constants.Z_BEST_COMPRESSION });
    writeFileSync(join(dist, `${name}.gz`), packed);
    bytes = packed.length;
  }
  if (!k) continue;
  total[k] += bytes;
  // Initial: what the page names. Of the fonts, browsers fetch the latin subset unless a text needs more.
  if (k === "font" ? !name.includes("latin-ext") : page.includes(name)) size[k] += bytes;
}

let over = false;
for (const [k, limit] of Object.entries(budget)) {
  const kb = (n) => `${(n / 1000).toFixed(1)} kB`;
  const ok = size[k] <= limit && total[k] <= budgetOfAll[k];
  over ||= !ok;
  console.log(`${k.padEnd(5)} initial ${kb(size[k]).padStart(9)} of ${kb(limit)}   total ${kb(total[k])}${ok ? "" : "   OVER BUDGET"}`);
}
if (over) process.exit(1);
