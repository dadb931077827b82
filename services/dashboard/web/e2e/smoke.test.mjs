// The dashboard in a real browser, against a running Loom with at least one trace:
//
//   LOOM_DASHBOARD_URL=http://127.0.0.1:8081 LOOM_API_KEY=loom_sk_… node smoke.test.mjs
//
// With LOOM_BASE_URL (the gateway) it makes a trace of its own first.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { apiKey, base, gateway, launch, login, open, picture, violations } from "./browser.mjs";

const words = `Hello, Loom! <img src=x onerror=alert(1)> ${Date.now().toString(36)}`;
let browser;

before(async () => {
  browser = await launch();
  if (gateway) await converse();
});
after(() => browser?.close());

describe("login", () => {
  test("a page asks for it, refuses a wrong key and leads back", async () => {
    const { page, context } = await open(browser);
    await page.goto(`${base}/traces?range=7d&status=ok`);
    await page.waitForURL(/\/login\?next=/);
    await picture(page, "login");
    await login(page, "loom_sk_wrong");
    await page.getByText(/key/i).and(page.locator("[class*=error]")).first().waitFor();
    await login(page);
    await page.waitForURL(`${base}/traces?range=7d&status=ok`);
    await context.close();
  });

  test("logging out ends the session", async () => {
    const { page, context } = await open(browser);
    await page.goto(`${base}/login`);
    await login(page);
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.waitForURL(/\/login/);
    await page.goto(`${base}/overview`);
    await page.waitForURL(/\/login/);
    await context.close();
  });
});

for (const scheme of ["light", "dark"]) {
  test(`every page, ${scheme}`, async (t) => {
    const { page, context, complaints } = await open(browser, scheme);
    const rows = page.locator("[role=grid] [data-id]");
    let id = "";

    await t.test("overview", async () => {
      await page.goto(`${base}/login`);
      assert.deepEqual(await violations(page), []);
      await login(page);
      await rows.first().waitFor();
      await page.locator(".stat .big").nth(4).waitFor();
      assert.equal(await page.locator(".stat").count(), 5);
      await page.locator(".chart canvas").nth(1).waitFor();
      const requests = await page.locator(".stat .big").first().textContent();
      assert.match(requests ?? "", /^[1-9][\d,]*$/, "the number of requests");
      await picture(page, `overview-${scheme}`);
    });

    await t.test("colours follow the system, and the toggle", async () => {
      const shade = () => page.evaluate(() => Number(/\d+/.exec(getComputedStyle(document.body).backgroundColor)?.[0]));
      assert.equal((await shade()) < 128, scheme === "dark");
      const other = scheme === "dark" ? "light" : "dark";
      await page.getByRole("button", { name: `Switch to ${other} colours` }).click();
      assert.equal((await shade()) < 128, other === "dark");
      await page.reload();
      await rows.first().waitFor();
      assert.equal((await shade()) < 128, other === "dark", "after a reload");
      await page.getByRole("button", { name: `Switch to ${scheme} colours` }).click();
      assert.equal((await shade()) < 128, scheme === "dark");
    });

    await t.test("traces: the URL holds the window, Back restores it", async () => {
      await page.getByRole("link", { name: "Traces", exact: true }).click();
      await page.waitForURL(/\/traces/);
      await page.locator("label", { hasText: /^7d$/ }).click();
      await page.waitForURL(/range=7d/);
      await rows.first().waitFor();
      await picture(page, `traces-${scheme}`);
      await page.goBack();
      await page.waitForURL((u) => !u.search.includes("range"));
      await page.locator("label", { hasText: /^Errors$/ }).click();
      await page.waitForURL(/status=error/);
      await page.getByRole("button", { name: "Clear filters" }).first().click();
      await page.waitForURL((u) => !u.search.includes("status"));
    });

    await t.test("a trace opens beside the list, decrypted", async () => {
      await rows.first().locator(".when").click(); // most of a row's values filter instead
      await page.waitForURL(/trace=/);
      id = new URL(page.url()).searchParams.get("trace") ?? "";
      const panel = page.getByRole("complementary", { name: "Trace" });
      await panel.getByText("decrypted, access logged").waitFor();
      await panel.locator(".turn.user").first().waitFor();
      const said = (await panel.locator(".thread").textContent()) ?? "";
      if (gateway) assert.ok(said.includes(words), `the thread has the words of the request: ${said}`);
      assert.ok((await panel.locator(".turn.answer").count()) > 0 || (await panel.locator(".ending").count()) > 0, "an answer, or why there is none");
      await picture(page, `trace-panel-${scheme}`);
      for (const tab of ["Request", "Response", "Metadata"]) {
        await panel.getByRole("tab", { name: tab }).click();
        await page.waitForURL(new RegExp(`tab=${tab.toLowerCase()}`));
        await panel.locator(".json").first().waitFor();
      }
    });

    await t.test("keys move through the list and close the panel", async () => {
      if ((await rows.count()) > 1) {
        await page.keyboard.press("j");
        await page.waitForURL((u) => u.searchParams.get("trace") !== id);
        await page.keyboard.press("k");
        await page.waitForURL((u) => u.searchParams.get("trace") === id);
      }
      await page.keyboard.press("Escape");
      await page.waitForURL((u) => !u.searchParams.has("trace"));
      await page.waitForFunction((want) => document.activeElement?.getAttribute("data-id") === want, id);
      await page.keyboard.press("Enter");
      await page.waitForURL((u) => u.searchParams.get("trace") === id);
    });

    await t.test("a trace has its own address", async () => {
      await page.goto(`${base}/traces/${id}`);
      await page.locator(".turn.user").first().waitFor();
      assert.deepEqual(await violations(page), []);
      await picture(page, `trace-page-${scheme}`);
      await page.goto(`${base}/traces/00000000-0000-7000-8000-000000000000`);
      await page.getByText("There is no such trace").waitFor();
      const at = complaints.findIndex((c) => c.includes("404"));
      if (at >= 0) complaints.splice(at, 1); // the browser's own word on that
    });

    await t.test("first request", async () => {
      await page.goto(`${base}/start`);
      await page.getByText("/v1/chat/completions").waitFor();
      await page.getByText("Traces are coming in").waitFor();
      assert.deepEqual(await violations(page), []);
      await picture(page, `start-${scheme}`);
    });

    assert.deepEqual(complaints, [], "what the console complained about");
    await context.close();
  });
}

/** converse sends a request through the gateway and waits until its trace is in the list. */
async function converse() {
  const sent = await fetch(`${gateway}/chat/completions`, {
    method: "POST",
    headers: { Authorization: `Bearer ${apiKey}`, "Content-Type": "application/json" },
    body: JSON.stringify({ model: process.env.LOOM_MODEL ?? "loom-demo", messages: [{ role: "user", content: words }] }),
  });
  assert.equal(sent.status, 200, await sent.text());
  const began = new Date(Date.now() - 60_000).toISOString();
  for (let i = 0; i < 50; i++) {
    const until = new Date(Date.now() + 60_000).toISOString();
    const answer = await fetch(`${base}/api/v1/traces?from=${began}&to=${until}&limit=1`, { headers: { Authorization: `Bearer ${apiKey}` } });
    const { items } = await answer.json();
    if (items?.length > 0) {
      const body = await fetch(`${base}/api/v1/traces/${items[0].id}/payload`, { headers: { Authorization: `Bearer ${apiKey}` } });
      if ((await body.text()).includes(words.slice(-8))) return;
    }
    await new Promise((r) => setTimeout(r, 200));
  }
  assert.fail("the trace of the request did not appear within 10 s");
}
