// Live tail, costs, models, comparison, pipeline, playground and the first run in a real browser, against a running Loom
// with traces in it:
//
//   LOOM_DASHBOARD_URL=… LOOM_BASE_URL=… LOOM_API_KEY=loom_sk_… LOOM_ADMIN_KEY=loom_adm_… node pages.test.mjs
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { after, before, describe, test } from "node:test";
import { apiKey, base, gateway, launch, login, open, picture, violations } from "./browser.mjs";

const adminKey = process.env.LOOM_ADMIN_KEY;
const model = process.env.LOOM_MODEL ?? "loom-demo";
const run = Date.now().toString(36);
const nasty = "<img src=x onerror=alert(1)>";
let browser;

before(async () => {
  assert.ok(gateway, "LOOM_BASE_URL is not set");
  assert.ok(adminKey, "LOOM_ADMIN_KEY is not set");
  browser = await launch();
  const first = await send("setup");
  await recorded(first);
});
after(() => browser?.close());

/** send makes a request through the gateway, tagged with this run and a name, and returns the id of its trace. */
async function send(name, more = {}) {
  const answer = await fetch(`${gateway}/chat/completions`, {
    method: "POST",
    headers: { Authorization: `Bearer ${apiKey}`, "Content-Type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: `Hello from ${name}` }], metadata: { run, name, nasty }, ...more }),
  });
  assert.equal(answer.status, 200, await answer.text());
  return answer.headers.get("X-Loom-Trace-Id");
}

async function api(path, key = apiKey) {
  const answer = await fetch(`${base}/api/v1/${path}`, { headers: { Authorization: `Bearer ${key}` } });
  assert.equal(answer.status, 200, path);
  return answer.json();
}

/** until tries again until it does not throw, for ten seconds. */
async function until(check) {
  const end = Date.now() + 10_000;
  for (;;) {
    try {
      return await check();
    } catch (e) {
      if (Date.now() > end) throw e;
    }
    await new Promise((r) => setTimeout(r, 200));
  }
}

const recorded = (id) =>
  until(async () => {
    const trace = await api(`traces/${id}`);
    assert.notEqual(trace.cost_status, "pending");
  });

/** enter logs in and opens a page. */
async function enter(path, { scheme = "light", key = apiKey, at = base } = {}) {
  const opened = await open(browser, scheme);
  await opened.page.goto(`${at}/login`);
  await login(opened.page, key);
  await opened.page.waitForURL(/overview/);
  await opened.page.goto(at + path);
  return opened;
}

/** same says that a number on a page is the API's, as far as it is written out. */
function same(shown, exact, what) {
  if (exact === null) return assert.equal(shown, "–", what);
  const text = shown.replace(/[$,%]/g, "");
  if (text.startsWith("<")) return assert.ok(Number(exact) < Number(text.slice(1)), what);
  const decimals = text.split(".")[1]?.length ?? 0;
  assert.ok(Math.abs(Number(text) - Number(exact)) <= 0.5000001 * 10 ** -decimals, `${what}: ${shown} for ${exact}`);
}

const minute = (at) => new Date(Math.floor(at / 60_000) * 60_000).toISOString();
/** A window that stays as it is while a test looks at it. */
const day = () => `from=${minute(Date.now() - 86_400_000)}&to=${minute(Date.now() + 120_000)}`;

const table = (page) =>
  page.locator(".sort-table tbody tr:not(.ghost-row)").evaluateAll((rows) => rows.map((r) => [...r.children].map((c) => c.textContent.trim())));

describe("costs", () => {
  test("its numbers are the API's", async () => {
    // The day up to now, which stays as it is; on a Loom that has just begun there is nothing in it yet.
    const past = `from=${minute(Date.now() - 86_400_000)}&to=${minute(Date.now())}`;
    const window = (await api(`summary?${past}`)).requests.value > 0 ? past : day();
    const { page, context, complaints } = await enter(`/costs?${window}`);
    for (const by of ["model", "provider", "key", "tag:run"]) {
      await page.goto(`${base}/costs?${window}&by=${by}`);
      await until(async () => {
        await page.reload(); // requests may still come
        await page.locator(".sort-table tbody tr:not(.ghost-row)").first().waitFor();
        const want = await api(`costs?${window}&by=${by}`);
        const rows = await table(page);
        assert.equal(rows.length, want.rows.length);
        same(await page.locator(".figure .big").nth(0).textContent(), want.total_usd, "the total");
        same(await page.locator(".figure .big").nth(1).textContent(), want.month.spent_usd, "the month");
        same(await page.locator(".figure .big").nth(3).textContent(), String(want.requests), "the requests");
        // The page puts what has no price last.
        const order = [...want.rows.filter((r) => r.cost_usd !== null), ...want.rows.filter((r) => r.cost_usd === null)];
        for (const [i, row] of order.entries()) {
          const [name, spend, , , requests] = rows[i];
          if (row.key !== "") assert.equal(name, row.label);
          same(spend, row.cost_usd, `what ${row.label} costs`);
          same(requests, String(row.requests), `the requests of ${row.label}`);
        }
        assert.equal(await page.locator(".notice").count(), want.unpriced > 0 ? 1 : 0, "what has no price is told");
      });
    }
    assert.deepEqual(complaints, []);
    await context.close();
  });

  test("a row narrows the page, and the file has what is shown", async () => {
    for (const key of [apiKey, adminKey]) {
      const me = await api("me");
      const window = day();
      const { page, context, complaints } = await enter(`/costs?${window}&by=tag:run&tenant=${me.tenant.id}`, { key });
      await page.locator(".sort-table button.name", { hasText: run }).click();
      await page.waitForURL(new RegExp(`tag=run:${run}`));
      await until(async () => assert.deepEqual((await table(page)).map((r) => r[0]), [run]));
      const link = page.getByRole("link", { name: "CSV" });
      const href = new URL(await link.getAttribute("href"), base);
      assert.equal(href.pathname, new URL(`${base}/api/v1/costs.csv`).pathname);
      assert.equal(href.searchParams.get("by"), "tag:run");
      assert.deepEqual(href.searchParams.getAll("tag"), [`run:${run}`]);
      assert.equal(href.searchParams.get("from"), new URLSearchParams(window).get("from"));
      assert.equal(href.searchParams.get("to"), new URLSearchParams(window).get("to"));
      const [file] = await Promise.all([page.waitForEvent("download"), link.click()]);
      assert.match(file.suggestedFilename(), /\.csv$/);
      const lines = (await readFile(await file.path(), "utf8")).trim().split(/\r?\n/);
      assert.equal(lines.length, 2, "a head and a row");
      assert.ok(lines[1].includes(run), lines[1]);
      assert.deepEqual(complaints, []);
      await context.close();
    }
  });

  test("columns sort, both ways, and the URL keeps it", async () => {
    const { page, context } = await enter(`/costs?${day()}&by=tag:name`);
    await send("another one");
    const column = async () => (await table(page)).map((r) => Number(r[4].replaceAll(",", "")));
    await page.getByRole("button", { name: "Requests", exact: true }).click();
    await page.waitForURL(/sort=-requests/);
    await until(async () => assert.deepEqual(await column(), (await column()).sort((a, b) => b - a)));
    assert.equal(await page.locator("th[aria-sort=descending]").textContent(), "Requests");
    await page.reload();
    await page.locator("th[aria-sort=descending]", { hasText: "Requests" }).waitFor();
    await page.getByRole("button", { name: "Requests", exact: true }).click();
    await page.waitForURL(/sort=requests/);
    await until(async () => assert.deepEqual(await column(), (await column()).sort((a, b) => a - b)));
    await page.getByRole("button", { name: /^Tag name/ }).click();
    await page.waitForURL(/sort=name/);
    await context.close();
  });

  test("what cannot be loaded says so, and comes again", async () => {
    const { page, context } = await enter("/overview");
    let broken = true;
    await page.route("**/api/v1/costs?**", (r) => (broken ? r.fulfill({ status: 400, json: { error: { code: "invalid_parameter", message: "Not so.", request_id: "req_1" } } }) : r.continue()));
    await page.goto(`${base}/costs`);
    await page.getByText("The costs could not be loaded.").waitFor();
    await page.getByText("Not so.").waitFor();
    broken = false;
    await page.getByRole("button", { name: "Retry" }).click();
    await page.locator(".figure .big").first().waitFor();
    await context.close();
  });
});

test("models: two are ticked and compared; names are text", async () => {
  const { page, context, complaints } = await enter("/overview");
  await page.route("**/api/v1/models?**", async (route) => {
    const answer = await route.fetch();
    const body = await answer.json();
    if (body.rows.length > 0) body.rows.push({ ...body.rows[0], model: nasty, provider: "<b>acme</b>" });
    await route.fulfill({ response: answer, json: body });
  });
  const window = day();
  await page.goto(`${base}/models?${window}&tag=run:${run}`);
  await page.locator(".sort-table tbody th", { hasText: nasty }).waitFor();
  await page.getByText("Tick two models to compare them").waitFor();
  const boxes = page.locator(".tick input");
  await boxes.nth(0).check();
  await page.getByText("Tick one more").waitFor();
  await boxes.nth(1).check();
  await page.getByRole("link", { name: "Compare the two" }).click();
  await page.waitForURL(/\/compare\?/);
  const search = new URL(page.url()).searchParams;
  assert.deepEqual(
    ["a", "b"].map((side) => new URLSearchParams(search.get(side)).get("model")).sort(),
    [model, nasty].sort(),
  );
  const want = await api(`summary?${window}&tag=run:${run}&model=${encodeURIComponent(model)}`);
  const requests = page.locator(".metrics tr", { has: page.getByRole("rowheader", { name: "Requests", exact: true }) }).last().locator("td.number");
  const a = new URLSearchParams(search.get("a")).get("model") === model ? 0 : 1;
  await until(async () => {
    same(await requests.nth(a).textContent(), String(want.requests.value), "its requests");
    same(await requests.nth(1 - a).textContent(), "0", "the other's");
  });
  await page.getByRole("button", { name: "Swap" }).click();
  await page.waitForURL((u) => u.searchParams.get("a") === search.get("b"));
  await until(async () => same(await requests.nth(1 - a).textContent(), String(want.requests.value), "swapped"));
  await page.getByLabel("Model of side B").selectOption({ label: "All models" });
  await page.getByLabel("Window of side B").selectOption("before");
  await page.waitForURL((u) => u.searchParams.get("b") === "window=before");
  assert.deepEqual(await violations(page), []);
  assert.deepEqual(complaints, []);
  await context.close();
});

describe("live tail", () => {
  const row = (page, id) => page.locator(`[role=grid] [data-id="${id}"]`);

  test("a trace comes up by itself, pausing holds the list, filters hold", async () => {
    const { page, context, complaints } = await enter(`/live?tag=run:${run}`);
    await page.locator(".condition", { hasText: "Live" }).waitFor();
    const id = await send("live");
    await row(page, id).waitFor({ timeout: 10_000 });
    assert.equal(await page.locator("[role=grid] [data-index='0']").getAttribute("data-id"), id, "on top");
    await page.keyboard.press("p");
    await page.getByRole("button", { name: "Resume" }).waitFor();
    const held = await send("held");
    await send("of another run", { metadata: { run: "another" } });
    await page.locator(".pill", { hasText: "1 new" }).waitFor();
    assert.equal(await row(page, held).count(), 0);
    await page.getByRole("button", { name: "Resume" }).click();
    await row(page, held).waitFor();
    await page.locator(".pill").waitFor({ state: "detached" });
    assert.ok((await row(page, id).textContent()).includes(`nasty:${nasty}`), "a tag is text");
    await row(page, id).locator(".when").click();
    await page.waitForURL(new RegExp(`trace=${id}`));
    await page.getByRole("complementary", { name: "Trace" }).getByText("Hello from live").first().waitFor();
    await page.keyboard.press("Escape");
    await page.waitForURL((u) => !u.searchParams.has("trace"));
    assert.deepEqual(complaints, []);
    await context.close();
  });

  test("after a cut it goes on where it was, without a gap and nothing twice", async () => {
    const line = await cable(new URL(base));
    const { page, context } = await enter(`/live?tag=run:${run}`, { at: line.url + new URL(base).pathname.replace(/\/$/, "") });
    await page.locator(".condition", { hasText: "Live" }).waitFor();
    const ids = [await send("before the cut")];
    await row(page, ids[0]).waitFor();
    line.cut();
    await page.locator(".condition", { hasText: "Reconnecting" }).waitFor();
    ids.push(await send("in the cut"), await send("in the cut, too"));
    await Promise.all(ids.map(recorded));
    line.mend();
    await row(page, ids[2]).waitFor();
    ids.push(await send("after the cut"));
    await row(page, ids[3]).waitFor();
    const shown = await page.locator("[role=grid] [data-id]").evaluateAll((rows) => rows.map((r) => r.getAttribute("data-id")));
    for (const id of ids) assert.equal(shown.filter((s) => s === id).length, 1, `${id} once`);
    await context.close();
    line.end();
  });

  test("it owns up to what was left out, and to a refusal", async () => {
    const { page, context } = await enter("/overview");
    const trace = (await api(`traces?${day()}&tag=run:${run}`)).items[0];
    await page.route("**/api/v1/traces/tail**", (r) =>
      r.fulfill({ contentType: "text/event-stream", body: `event: dropped\nid: 1\ndata: {"n":12}\n\nevent: dropped\nid: 2\ndata: {"n":null}\n\nevent: trace\nid: 3\ndata: ${JSON.stringify({ ...trace, model: nasty })}\n\n` }),
    );
    await page.goto(`${base}/live`);
    await page.getByText("At least 12 traces were left out here").waitFor();
    await page.unroute("**/api/v1/traces/tail**");
    await page.route("**/api/v1/traces/tail**", (r) => r.fulfill({ status: 400, json: { error: { code: "invalid_parameter", message: "Not so.", request_id: "req_1" } } }));
    await page.goto(`${base}/live`);
    await page.getByText("The live tail could not be opened.").waitFor();
    await page.unroute("**/api/v1/traces/tail**");
    await page.getByRole("button", { name: "Retry" }).click();
    await page.locator(".condition", { hasText: "Live" }).waitFor();
    await context.close();
  });
});

describe("playground", () => {
  test("an answer streams in and its trace opens; the key stays in the page", async () => {
    const { page, context, complaints } = await enter("/playground");
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.getByLabel("Model", { exact: true }).fill(model);
    await page.getByLabel("User message").fill(`Play ${run}`);
    await page.getByLabel("API key", { exact: true }).fill(apiKey);
    await page.evaluate(() => {
      globalThis.lengths = new Set();
      new MutationObserver(() => globalThis.lengths.add(document.querySelector(".said-words")?.textContent.length ?? 0)).observe(document.body, { subtree: true, childList: true, characterData: true });
    });
    await page.getByRole("button", { name: "Send" }).click();
    const answer = page.getByRole("region", { name: "Answer", exact: true });
    await answer.getByText("Complete").waitFor();
    assert.ok((await page.locator(".said-words").textContent()).length > 0);
    assert.ok((await page.evaluate(() => globalThis.lengths.size)) > 2, "it grew as it came");
    for (const fact of ["First token", "Total"]) assert.match(await answer.locator("div", { has: page.locator("dt", { hasText: fact }) }).last().textContent(), /\d (ms|s|min)/);
    await answer.getByRole("button", { name: "Open trace" }).click();
    await page.waitForURL(/trace=/, { timeout: 20_000 });
    await page.getByRole("complementary", { name: "Trace" }).getByText(`Play ${run}`).first().waitFor();
    await page.keyboard.press("Escape");
    await page.waitForURL((u) => !u.searchParams.has("trace"));
    await page.getByRole("button", { name: "Copy as cURL" }).click();
    const command = await page.evaluate(() => navigator.clipboard.readText());
    assert.ok(command.includes("$LOOM_API_KEY") && command.includes(`Play ${run}`) && !command.includes(apiKey), command);
    const kept = await page.evaluate(() => JSON.stringify([location.href, { ...localStorage }, { ...sessionStorage }, document.cookie]));
    assert.ok(!kept.includes(apiKey), "the key is nowhere but in the page");
    await page.reload();
    assert.equal(await page.getByLabel("API key", { exact: true }).inputValue(), "");
    assert.deepEqual(complaints.filter((c) => !c.includes("404")), []); // asked for before it was recorded
    await context.close();
  });

  test("a refusal is shown in its own words, and a stop stops", async () => {
    const { page, context } = await enter("/playground");
    await page.getByLabel("Model", { exact: true }).fill(model);
    await page.getByLabel("User message").fill("Hello");
    await page.getByLabel("API key", { exact: true }).fill("loom_sk_wrong");
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByText("Refused with status 401").waitFor();
    await page.route("**/api/v1/playground/**", () => undefined); // never answers
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("Stopped").waitFor();
    await page.unroute("**/api/v1/playground/**");
    await page.route("**/api/v1/playground/**", (r) =>
      r.fulfill({ contentType: "text/event-stream", body: `data: {"choices":[{"delta":{"content":"${nasty}"}}]}\n\ndata: {"error":{"message":"Overloaded half-way."}}\n\n` }),
    );
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByText("Overloaded half-way.").waitFor();
    assert.equal(await page.locator(".said-words").textContent(), nasty);
    await context.close();
  });
});

describe("pipeline", () => {
  test("an administrator sees how far everything is", async () => {
    const { page, context, complaints } = await enter("/overview", { key: adminKey });
    await page.getByRole("link", { name: "Pipeline" }).click();
    await page.waitForURL(/\/pipeline/);
    await until(async () => {
      const want = await api("admin/pipeline", adminKey);
      assert.deepEqual((await table(page)).map((r) => r.slice(0, 2).join(" ")), want.producers.map((p) => `${p.id} ${p.epoch}`));
    });
    for (const name of ["Recorder", "Analytics", "Stream", "Postgres"]) await page.getByRole("heading", { name, exact: true }).waitFor();
    assert.equal(await page.locator(".verdict").count(), 1);

    let answers = 0;
    await page.route("**/api/v1/admin/pipeline", async (route) => {
      const answer = await route.fetch();
      const d = await answer.json();
      answers++;
      const unknown = { pending: null, unacknowledged: null, redelivered: null, oldest_at: null };
      await route.fulfill({
        response: answer,
        json: { ...d, bus: "away", fresh_to: null, stream: null, consumers: d.consumers.map((c) => ({ ...c, ...unknown })), producers: d.producers.map((p) => ({ ...p, numbered: null })) },
      });
    });
    await page.getByText("The message bus is away").waitFor({ timeout: 12_000 });
    assert.ok((await page.locator(".way dd", { hasText: /^–$/ }).count()) >= 8, "what is not known is no zero");
    await until(() => assert.ok(answers >= 2, "it asks again by itself"));
    await page.unroute("**/api/v1/admin/pipeline");
    await page.route("**/api/v1/admin/pipeline", (r) => r.abort());
    await page.getByText("No answer since").waitFor({ timeout: 20_000 });
    assert.ok((await page.locator(".way dd").count()) > 8, "the last answer stays");
    assert.deepEqual(complaints.filter((c) => !c.includes("ERR_FAILED")), []);
    await context.close();
  });

  test("others do not", async () => {
    const { page, context } = await enter("/pipeline");
    await page.getByRole("heading", { name: "For administrators" }).waitFor();
    assert.equal(await page.getByRole("link", { name: "Pipeline" }).count(), 0);
    const answer = await fetch(`${base}/api/v1/admin/pipeline`, { headers: { Authorization: `Bearer ${apiKey}` } });
    assert.equal(answer.status, 403);
    await context.close();
  });
});

test("the first run turns into the list when the first trace comes", async () => {
  const { page, context, complaints } = await enter("/costs");
  let empty = true;
  await page.route("**/api/v1/traces?**", (r) => (empty ? r.fulfill({ json: { from: "", to: "", items: [], next_cursor: null } }) : r.continue()));
  for (const at of ["/start", "/traces"]) {
    empty = true;
    const listening = page.waitForResponse((r) => r.url().includes("/traces/tail"));
    await page.goto(base + at);
    await page.getByText("Waiting for the first trace").waitFor();
    await listening;
    empty = false;
    await send("the first run");
    await page.waitForURL(/\/traces/);
    await page.locator("[role=grid] [data-id]").first().waitFor();
  }
  assert.deepEqual(complaints, []);
  await context.close();
});

for (const scheme of ["light", "dark"]) {
  test(`every page is accessible, ${scheme}`, async () => {
    const { page, context, complaints } = await enter("/overview", { scheme, key: adminKey });
    const { tenant } = await api("me");
    const pages = [
      ["live", `/live?tag=run:${run}`, "[role=grid] [data-id]"],
      ["costs", "/costs?by=tag:name", ".sort-table tbody button.name"],
      ["models", "/models", ".sort-table tbody th a"],
      ["compare", "/compare", ".metrics .delta, .metrics .dim"],
      ["pipeline", "/pipeline", ".way dd"],
      ["playground", "/playground", ".ask"],
      ["start", "/start", ".start"],
    ];
    for (const [name, path, ready] of pages) {
      await page.goto(`${base}${path}${path.includes("?") ? "&" : "?"}tenant=${tenant.id}`);
      await page.locator(ready).first().waitFor();
      assert.deepEqual(await violations(page), [], name);
      const wide = await page.locator("main").evaluate((m) => m.scrollWidth - m.clientWidth);
      assert.equal(wide, 0, `${name} is as wide as the window`);
      await picture(page, `${name}-${scheme}`);
    }
    assert.deepEqual(complaints, []);
    await context.close();
  });
}

/** cable is a connection to the service that can be cut. */
async function cable(to) {
  const ends = new Set();
  let whole = true;
  const server = createServer((from) => {
    if (!whole) return void from.destroy();
    const there = connect(Number(to.port || 80), to.hostname);
    for (const [one, other] of [[from, there], [there, from]]) {
      ends.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => (ends.delete(one), other.destroy()));
      one.pipe(other);
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const cut = () => {
    whole = false;
    for (const e of ends) e.destroy();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, cut, mend: () => (whole = true), end: () => (cut(), server.close()) };
}
