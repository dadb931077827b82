// Takes the pictures of docs/dashboard.md from a running Loom with a month of traffic:
//
//   LOOM_DASHBOARD_URL=… LOOM_API_KEY=loom_sk_… LOOM_ADMIN_KEY=loom_adm_… LOOM_SCREENSHOTS=docs/pictures node pictures.mjs
import assert from "node:assert/strict";
import { apiKey, base, launch, login, open, picture } from "./browser.mjs";

const adminKey = process.env.LOOM_ADMIN_KEY;
const window = "range=7d";
const trace = await eventful();
const grid = "[role=grid] [data-id]";
const pages = [
  ["overview", `/overview?${window}`, grid],
  ["traces", `/traces?${window}`, grid],
  ["trace", `/overview?${window}&trace=${trace}`, ".turn.answer"],
  ["trace-page", `/traces/${trace}?tab=stream`, ".trace-tabs"],
  ["live", "/live", grid],
  ["costs", `/costs?${window}`, ".sort-table tbody tr:not(.ghost-row)"],
  ["models", `/models?${window}`, ".sort-table tbody tr:not(.ghost-row)"],
  ["compare", `/compare?${window}`, "tbody tr"],
  ["playground", "/playground", "form"],
  ["start", "/start", ".start"],
];
const browser = await launch();
for (const scheme of ["light", "dark"]) {
  await take(scheme, apiKey, pages);
  await take(scheme, adminKey, [["pipeline", "/pipeline", "tbody tr"]]);
}
await browser.close();

async function take(scheme, key, wanted) {
  const { page, context, complaints } = await open(browser, scheme);
  await page.goto(`${base}/login`);
  await page.getByRole("button", { name: "Log in" }).waitFor();
  if (key === apiKey) await picture(page, `login-${scheme}`);
  await login(page, key);
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  for (const [name, at, there] of wanted) {
    await page.goto(base + at);
    await page.locator(there).first().waitFor();
    await page.waitForLoadState("networkidle", { timeout: 3_000 }).catch(() => undefined); // the live tail never is
    await picture(page, `${name}-${scheme}`);
  }
  assert.deepEqual(complaints, []);
  await context.close();
}

/** eventful is a trace that has something to show: tools were called, and a provider had failed before. */
async function eventful() {
  const ask = async (path) => (await fetch(`${base}/api/v1/${path}`, { headers: { Authorization: `Bearer ${apiKey}` } })).json();
  const { items } = await ask(`traces?${window}&retried=true&status=ok&limit=200`);
  for (const { id } of items) {
    if ((await ask(`traces/${id}`)).tool_names.length > 0) return id;
  }
  throw new Error("no trace with tools and a second attempt");
}
