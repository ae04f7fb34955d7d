#!/usr/bin/env node
// The hub's built-in page: its script, as the hub serves it, in a document of our own.
import { createContext, runInContext } from "node:vm";
import { io } from "socket.io-client";
import WebSocket from "ws"; // comes with socket.io-client
import { check, equal, hub, jpegText, next, runCases, test, waitFor } from "../lib/nuchub.mjs";

const server = await hub();

/** As much of an element as the script uses. */
class Element {
  constructor(tag) {
    Object.assign(this, { tag, children: [], dataset: {}, listeners: {}, classes: new Set(),
                          textContent: "", className: "", hidden: false, open: false });
    this.classList = { toggle: (c, on) => (on ? this.classes.add(c) : this.classes.delete(c)) };
  }

  append(...children) { this.children.push(...children); }
  addEventListener(name, f) { this.listeners[name] = f; }
  querySelector(tag) { return (this[tag] ??= new Element(tag)); }
  showModal() { this.open = true; }
  close() { this.open = false; this.listeners.close?.(); }
}

class FileReader {
  async readAsDataURL(blob) {
    const bytes = Buffer.from(await blob.arrayBuffer());
    this.result = `data:${blob.type};base64,${bytes.toString("base64")}`;
    this.onload();
  }
}

/** Opens the page; stop() keeps its timers from going on. */
async function openPage(options = {}) {
  const base = `http://127.0.0.1:${server.port}/`;
  const html = await (await fetch(base)).text();
  const elements = {};
  for (const [, tag, id] of html.matchAll(/<(\w+) id="(\w+)"/g)) elements[id] = new Element(tag);
  const page = { elements, cards: elements.camaras.children, sockets: [], asked: [], timers: [] };
  class Socket extends (options.WebSocket ?? WebSocket) {
    constructor(url) { super(url); page.sockets.push(this); }
  }
  const context = createContext({
    document: { getElementById: (id) => elements[id], createElement: (t) => new Element(t) },
    location: new URL(base), URL, WebSocket: Socket, FileReader, console,
    fetch: (path) => { page.asked.push(path); return fetch(new URL(path, base)); },
    setTimeout: (f, ms) => page.timers.push(setTimeout(f, Math.min(ms, 200))),
  });
  const script = await fetch(new URL(/<script src="([^"]+)"/.exec(html)[1], base));
  check(/^text\/javascript/.test(script.headers.get("content-type")), "type of the script");
  runInContext(await script.text(), context);
  page.card = (ip) => page.cards.find((c) => c.dataset.ip === ip);
  page.image = (ip) => page.card(ip)?.children[0].children.find((c) => c.tag === "img");
  page.stop = () => {
    for (const s of page.sockets) { s.onclose = null; s.close?.(); }
    for (const t of page.timers) clearTimeout(t);
  };
  return page;
}

async function anAgent() {
  const agent = io(`http://127.0.0.1:${server.port}`, { auth: { nuc_id: "sede" },
                                                        forceNew: true });
  await next(agent, "connected");
  return agent;
}

function picture(ip, image, estado = "activa") {
  return { nuc_id: "sede", ip, image, timestamp: "2026-01-31T12:00:00", estado };
}

await server.start();

test("everything that the page names is there", async () => {
  const base = `http://127.0.0.1:${server.port}/`;
  const reply = await fetch(base);
  const html = await reply.text();
  check(/^text\/html/.test(reply.headers.get("content-type")), "type");
  check(/default-src 'none'/.test(reply.headers.get("content-security-policy")), "policy");
  for (const [, name] of html.matchAll(/(?:src|href)="([^":,]+)"/g)) {
    const file = await fetch(new URL(name, base));
    equal(file.status, 200, name);
    const again = await fetch(new URL(name, base),
                              { headers: { "If-None-Match": file.headers.get("etag") } });
    equal(again.status, 304, `${name} again`);
  }
});

test("pictures change as they come", async () => {
  const page = await openPage();
  const agent = await anAgent();
  await waitFor(() => page.elements.estado.className === "bien", "the connection");
  for (let seed = 0; seed < 3; seed++) {
    const image = jpegText(400, seed);
    agent.emit("snapshot", picture("patio", image));
    await waitFor(() => page.image("patio")?.src === `data:image/jpeg;base64,${image}`,
                  `picture ${seed}`);
  }
  check(page.card("patio").classes.has("activa"), "not shown as active");
  equal(page.elements.vacio.hidden, true);
  page.card("patio").children[0].listeners.click();
  check(page.elements.grande.open, "not enlarged");
  agent.emit("snapshot", picture("patio", `data:image/jpeg;base64,${jpegText(400, 9)}`));
  await waitFor(() => page.elements.grande.img.src?.endsWith(jpegText(400, 9)),
                "the enlarged picture to change");
  page.elements.grande.close();
  agent.close();
  page.stop();
});

test("a page opened later shows what is there, and the error of what is not", async () => {
  const agent = await anAgent();
  await agent.timeout(20000).emitWithAck("snapshot", picture("vieja", jpegText(400, 3)));
  const page = await openPage();
  await waitFor(() => page.image("vieja")?.src === `data:image/jpeg;base64,${jpegText(400, 3)}`,
                "the picture");
  agent.close();
  page.stop();
});

test("without WebSocket pictures are asked for", async () => {
  const agent = await anAgent();
  await agent.timeout(20000).emitWithAck("snapshot", picture("patio", jpegText(400, 4)));
  const page = await openPage({ WebSocket: class { constructor() { this.closed = true; } } });
  await waitFor(() => page.image("patio")?.src?.endsWith(jpegText(400, 4)), "the first picture");
  await agent.timeout(20000).emitWithAck("snapshot", picture("patio", jpegText(400, 5)));
  await waitFor(() => page.image("patio").src.endsWith(jpegText(400, 5)), "the second picture");
  agent.close();
  page.stop();
});

test("a hub that comes back is found again", async () => {
  const page = await openPage();
  await waitFor(() => page.elements.estado.textContent === "En directo", "the connection");
  await server.stop();
  await waitFor(() => page.elements.estado.className === "", "the loss");
  await server.start();
  await waitFor(() => page.elements.estado.textContent === "En directo", "the connection again");
  const agent = await anAgent();
  agent.emit("snapshot", picture("nueva", jpegText(400, 6)));
  await waitFor(() => page.image("nueva")?.src?.endsWith(jpegText(400, 6)), "a picture");
  agent.close();
  page.stop();
});

await runCases();
