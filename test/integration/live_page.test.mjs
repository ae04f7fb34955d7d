#!/usr/bin/env node
// Live view in a real browser, with a page that treats streams as web pages do: it leaves
// them open, loads each address twice, and renews addresses all the time.
// TEST_TIMEOUT: 300
import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { agent, check, equal, freePort, hub, runCases, tempDir, test, waitFor, within }
  from "../lib/nuchub.mjs";

const browserPath = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync);
if (!browserPath) {
  console.log("no Chromium is installed");
  process.exit(77);
}

const CAMERAS = ["cam1", "cam2", "cam3", "cam4", "cam5"];
const PAGE = `<!doctype html><meta charset="utf-8"><title>page</title>
<style>img { width: 160px; height: 90px; background: #000 }</style><body><script>
"use strict";
const api = new URLSearchParams(location.search).get("api");
const hidden = []; // kept for ever, as some frameworks do
function show(id, ip, t) {
  const address = api + "/api/camaras/" + ip + "/stream?t=" + t;
  let img = document.getElementById(id);
  if (!img) {
    img = document.createElement("img");
    img.id = id;
    document.body.append(img);
  }
  img.src = address;
  const other = new Image();
  other.src = address;
  hidden.push(other);
}
function remove(id) { document.getElementById(id).remove(); }
async function call(path, method = "GET") {
  const reply = await fetch(api + path, { method, headers: { "Content-Type": "application/json" } });
  return [reply.status, await reply.json()];
}
</script>`;

const www = tempDir();
writeFileSync(join(www, "index.html"), PAGE);
const config = join(tempDir(), "nuchubd.conf");
writeFileSync(config, "live_fps = 5\nlive_width = 320\nlive_grace = 1\n");
const server = await (await hub("--www", www, "--config", config)).start();
const cameras = await agent(server, CAMERAS.map((c) => `test://${c}`).join()).start();
const api = `http://127.0.0.1:${server.port}`;
const pages = createServer((_, reply) => reply.setHeader("Content-Type", "text/html").end(PAGE));
const otherPort = await freePort();
await new Promise((done) => pages.listen(otherPort, "127.0.0.1", done));

const origins = { "another origin": `http://127.0.0.1:${otherPort}/?api=${api}`,
                  "the API's own origin": `${api}/?api=` };

const contexts = new Set();
const browser = await chromium.launch({
  executablePath: browserPath, headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

/** A page in a context of its own: other cookies, other connections. */
async function open(address) {
  const context = await browser.newContext({ viewport: { width: 900, height: 400 } });
  contexts.add(context);
  const page = await context.newPage();
  const failures = []; // which fetch only calls "Failed to fetch"
  page.on("requestfailed", (r) => failures.push(`${r.url()}: ${r.failure().errorText}`));
  await page.goto(address);
  return Object.assign(page, {
    show: (id, ip, t) => page.evaluate(([i, p, n]) => window.show(i, p, n), [id, ip, t]),
    call: (path, method) => within(page.evaluate(([p, m]) => window.call(p, m), [path, method]),
                                   `the answer to ${path}`)
      .catch((e) => { throw new Error(`${e.message}; requests that failed: ${failures.slice(-5)}`); }),
    end: () => contexts.delete(context) && context.close(),
  });
}

/** A test that leaves no page behind, whatever happens. */
function pageTest(name, run, ms) {
  test(name, async () => {
    try {
      await run();
    } finally {
      for (const c of contexts) await c.close();
      contexts.clear();
    }
  }, ms);
}

/** Waits until an element was seen in four ways. */
async function moves(page, id, what = id) {
  const seen = new Set();
  await waitFor(async () => {
    seen.add((await page.locator(`#${id}`).screenshot({ animations: "allow" })).toString("base64"));
    return seen.size >= 4;
  }, `${what} to move`, 30000);
}

function sent() {
  const text = execFileSync("ss", ["-Htin", "state", "established", `sport = :${server.port}`],
                            { encoding: "utf8" });
  const bytes = new Map();
  for (const [, peer, n] of text.matchAll(/(\S+)\s*\n.*?bytes_sent:(\d+)/g)) bytes.set(peer, +n);
  return bytes;
}

/** How many connections the hub sends pictures on. */
async function streams() {
  const before = sent();
  await new Promise((done) => setTimeout(done, 1500)); // some pictures' time
  const after = sent();
  return [...after].filter(([peer, n]) => n - (before.get(peer) ?? n) > 8000).length;
}

async function atMost(n, what) {
  let found;
  await waitFor(async () => (found = await streams()) <= n, what)
    .catch((e) => { throw new Error(`${e.message}: ${found} streams`); });
  check(found > 0, "no streams");
}

await waitFor(async () => (await (await fetch(`${api}/api/nucs`)).json()).nucs.length === 1,
              "the agent").catch((e) => { console.log(cameras.log(), server.log()); throw e; });

for (const [where, address] of Object.entries(origins)) {
  pageTest(`${where}: ten refreshes, then the first address again`, async () => {
    const page = await open(address);
    for (let t = 1; t <= 10; t++) await page.show("live", "cam1", t);
    await moves(page, "live");
    equal((await page.call("/api/camaras"))[0], 200);
    await atMost(2, "two streams");
    await page.evaluate(() => window.remove("live"));
    equal((await page.call("/api/camaras/cam1/stream/stop", "POST"))[1].success, true);
    await page.show("live", "cam1", 1);
    await moves(page, "live", "the first address");
  });

  pageTest(`${where}: five tiles, renewed together, one in full view`, async () => {
    const page = await open(address);
    for (let t = 1; t <= 4; t++) {
      await page.evaluate(([all, n]) => {
        for (const c of all) window.show(c, c, n);
        window.show("full", all[n], n);
      }, [CAMERAS, t]);
      await moves(page, "full");
    }
    for (const c of CAMERAS) await moves(page, c);
    equal((await page.call("/api/status"))[0], 200);
    await atMost(6, "six streams");
  });
}

pageTest("two viewers: one stops, the other goes on", async () => {
  const [one, two] = [await open(origins["another origin"]), await open(origins["another origin"])];
  for (let t = 1; t <= 6; t++) for (const p of [one, two]) await p.show("live", "cam1", t);
  for (const p of [one, two]) await moves(p, "live");
  await one.evaluate(() => window.remove("live"));
  await one.call("/api/camaras/cam1/stream/stop", "POST");
  await moves(two, "live", "the other one");
  await one.end();
  await moves(two, "live", "the other one, alone");
});

pageTest("renewed every second for a minute, from both origins", async () => {
  const viewers = await Promise.all(Object.values(origins).map(open));
  for (const p of viewers) {
    await p.evaluate(() => {
      let t = 0;
      setInterval(() => window.show("live", "cam1", ++t), 1000);
      window.renewed = () => t;
    });
    await p.waitForSelector("#live");
  }
  for (let round = 0; round < 4; round++) {
    for (const p of viewers) {
      await p.waitForFunction((n) => window.renewed() >= n, 15 * (round + 1), { timeout: 120000 });
      await moves(p, "live");
      equal((await p.call("/api/camaras"))[0], 200);
    }
    await atMost(2 * viewers.length, "two streams for each viewer");
  }
}, 150000);

pageTest("the agent ends and comes back: the same image moves again", async () => {
  const page = await open(origins["another origin"]);
  await page.show("live", "cam1", 1);
  await moves(page, "live");
  await cameras.stop();
  await cameras.start();
  await moves(page, "live", "the same image");
});

const end = async () => {
  await within(browser.close(), "the browser's end").catch(() => {});
  pages.closeAllConnections();
  pages.close();
};
test("the browser ends", end);

await runCases();
