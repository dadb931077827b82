// What the browser tests share: a browser, a page that keeps its console's errors, a login.
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(new URL("../app/package.json", import.meta.url)); // its packages are installed there
const { chromium } = require("playwright-core");
const { AxeBuilder } = require("@axe-core/playwright");

export const base = need("LOOM_DASHBOARD_URL").replace(/\/+$/, "");
export const apiKey = need("LOOM_API_KEY");

/** The gateway with its /v1; without it no request is made and the newest trace is looked at. */
export const gateway = process.env.LOOM_BASE_URL?.replace(/\/+$/, "");

export function launch() {
  return chromium.launch({
    executablePath: process.env.LOOM_CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** open makes a page and collects what its console complains about. */
export async function open(browser, colorScheme = "light") {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (m) => {
    // The browser itself reports the 401 that leads to the login, and when a network of the machine comes or goes.
    if (m.type() === "error" && !/Failed to load resource.*\b(401|ERR_NETWORK_CHANGED)\b/.test(m.text())) complaints.push(m.text());
  });
  page.on("pageerror", (e) => complaints.push(String(e)));
  page.on("dialog", (d) => {
    complaints.push(`dialog: ${d.message()}`);
    void d.dismiss();
  });
  return { page, context, complaints };
}

export async function login(page, key = apiKey) {
  await page.getByLabel("API key", { exact: true }).fill(key);
  await page.getByRole("button", { name: "Log in" }).click();
}

/** violations lists what WCAG 2.2 AA finds wrong with the page, or with a part of it. */
export async function violations(page, part) {
  await page.waitForTimeout(400); // transitions
  const axe = new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]);
  const found = await (part ? axe.include(part) : axe).analyze();
  return found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} (${n.any[0]?.message ?? n.all[0]?.message ?? ""})`).join("; ")}`);
}

/** picture keeps a screenshot where LOOM_SCREENSHOTS names a folder. */
export async function picture(page, name) {
  const folder = process.env.LOOM_SCREENSHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

function need(name) {
  const value = process.env[name];
  if (value) return value;
  console.error(`${name} is not set. After \`make run\`: set -a; . .loom/dev.env; set +a`);
  process.exit(2);
}
