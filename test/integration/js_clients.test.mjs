#!/usr/bin/env node
// socket.io-client 2, 3 and 4 against the hub, each on every transport.
import { writeFileSync } from "node:fs";
import { io as io4 } from "socket.io-client";
import { io as io3 } from "socket.io-client-v3";
import io2 from "socket.io-client-v2";
import {
  check, equal, freePort, getJson, hub, jpegText, next, runCases, tempDir, test, waitFor, within,
} from "../lib/nuchub.mjs";

const GENERATIONS = { 4: io4, 3: io3, 2: io2 };
const TRANSPORTS = { polling: ["polling"], websocket: ["websocket"],
                     upgrade: ["polling", "websocket"] };
const EVENTS = ["connected", "registered", "snapshot_update", "event_update"];
const config = `${tempDir()}/nuchubd.conf`;
writeFileSync(config, "allow_eio3 = yes\n");
const server = await hub("--config", config);
const open = new Set();

/** A client and what it hears, in order. */
function client(port, { io = io4, ...options } = {}) {
  const socket = io(`http://127.0.0.1:${port}`, {
    forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 200, ...options });
  socket.heard = [];
  for (const name of EVENTS) socket.on(name, (...args) => socket.heard.push([name, ...args]));
  open.add(socket);
  return socket;
}

async function connected(port, options) {
  const socket = client(port, options);
  const greeting = next(socket, "connected");
  if (!socket.connected) await next(socket, "connect");
  await greeting;
  return socket;
}

/** Emits with an ack; the answer's arguments. */
function ask(socket, event, ...args) {
  return within(new Promise((done) => socket.emit(event, ...args, (...a) => done(a))),
                `the ack of ${event}`);
}

async function upgraded(socket) {
  await waitFor(() => socket.io.engine.transport.name === "websocket", "the upgrade");
}

function closeAll() {
  for (const s of open) s.close();
  open.clear();
}

async function nobodyLeft(port) {
  closeAll();
  await waitFor(async () => (await getJson({ port }, "/api/nucs")).total === 0,
                "the agents to leave");
}

function snapshot(ip, image, nuc_id = "nuc_js") {
  return { nuc_id, ip, image, timestamp: "2026-01-02T03:04:05.678901", estado: "activa" };
}

await server.start();

for (const [generation, io] of Object.entries(GENERATIONS))
for (const [transport, transports] of Object.entries(TRANSPORTS)) {
  const name = `${generation}.x ${transport}`;
  // Socket.IO 2 has no auth; the query does as well.
  const how = generation === "2" ? "query" : "auth";
  const options = (auth) => ({ io, transports, ...(auth && { [how]: auth }) });

  test(`${name}: agent and viewer, from connect to snapshot_update`, async () => {
    const viewer = await connected(server.port, options());
    const agent = await connected(server.port, options({ nuc_id: "nuc_js" }));
    equal(agent.heard[0], ["connected", { status: "ok", nuc_id: "nuc_js",
                                          message: "Conectado al servidor central" }]);
    equal(viewer.heard[0][1].nuc_id, "unknown");
    if (transport === "upgrade") await Promise.all([upgraded(agent), upgraded(viewer)]);
    else equal(agent.io.engine.transport.name, transport);

    const registered = next(agent, "registered");
    agent.emit("nuc_register", { nuc_id: "nuc_js", camaras: ["192.0.2.1"], timestamp: "x" });
    equal(await registered, [{ status: "ok", nuc_id: "nuc_js" }]);
    equal((await getJson(server, "/api/nucs")).nucs.map((n) => [n.nuc_id, n.camaras]),
          [["nuc_js", ["192.0.2.1"]]]);

    for (let i = 0; i < 5; i++) {
      const sent = snapshot("192.0.2.1", jpegText(100000, i));
      const update = next(viewer, "snapshot_update");
      equal(await ask(agent, "snapshot", sent), []);
      const [got] = await update;
      equal(Object.keys(got), ["nuc_id", "ip", "image", "estado", "timestamp"]);
      check(got.image === sent.image, "another image");
      equal((await getJson(server, "/api/camaras/192.0.2.1/snapshot")).image,
            "data:image/jpeg;base64," + sent.image);
    }
    const updates = [next(viewer, "event_update"), next(agent, "event_update")];
    agent.emit("event", { deep: [1, "ñ", null] });
    for (const u of updates) equal(await u, [{ deep: [1, "ñ", null] }]);
    equal(agent.heard.filter(([e]) => e === "snapshot_update"), [], "told to the agent");
    await nobodyLeft(server.port);
  });

  test(`${name}: acks in any number, each once, in order`, async () => {
    const agent = await connected(server.port, options({ nuc_id: "nuc_js" }));
    const order = [];
    await within(Promise.all(Array.from({ length: 300 }, async (_, i) => {
      equal(await ask(agent, "snapshot_error", { nuc_id: "nuc_js", ip: "192.0.2.1", error: i }), []);
      order.push(i);
    })), "300 acks");
    equal(order, Array.from({ length: 300 }, (_, i) => i));
    await nobodyLeft(server.port);
  });

  test(`${name}: binary both ways`, async () => {
    const viewer = await connected(server.port, options());
    const agent = await connected(server.port, options({ nuc_id: "nuc_js" }));
    const update = next(viewer, "event_update");
    agent.emit("event", { a: Buffer.from([0, 1, 2]), b: [Buffer.alloc(50000, 7)], t: "x" });
    const [got] = await update;
    check(Buffer.isBuffer(got.a) && got.a.equals(Buffer.from([0, 1, 2])), "a");
    check(got.b[0].length === 50000 && got.b[0].every((x) => x === 7), "b");
    equal(got.t, "x");
    await nobodyLeft(server.port);
  });

  test(`${name}: a picture of 15 million characters arrives whole`, async () => {
    const viewer = await connected(server.port, options());
    const agent = await connected(server.port, options({ nuc_id: "nuc_js" }));
    if (transport === "upgrade") await Promise.all([upgraded(agent), upgraded(viewer)]);
    const image = jpegText(15_000_000, 5);
    const update = next(viewer, "snapshot_update");
    await ask(agent, "snapshot", snapshot("192.0.2.2", image));
    check((await update)[0].image === image, "another image");
    await nobodyLeft(server.port);
  });

  test(`${name}: a killed hub that comes back is found again`, async () => {
    const h = await hub("--config", config);
    await h.start();
    const viewer = await connected(h.port, options());
    const agent = await connected(h.port, options({ nuc_id: "nuc_js" }));
    agent.on("connected", () => agent.emit("nuc_register", { nuc_id: "nuc_js", camaras: ["c"] }));
    const away = [next(viewer, "disconnect"), next(agent, "disconnect")];
    await h.stop("SIGKILL");
    await Promise.all(away);
    const back = [next(viewer, "connected"), next(agent, "connected"), next(agent, "registered")];
    await h.start();
    await Promise.all(back);
    const update = next(viewer, "snapshot_update");
    await ask(agent, "snapshot", snapshot("192.0.2.3", jpegText(400)));
    equal((await update)[0].ip, "192.0.2.3");
    await nobodyLeft(h.port);
    await h.stop();
  });
}

test("nuc_id may come in the query", async () => {
  const agent = await connected(server.port, { query: { nuc_id: "nuc con ñ" } });
  equal(agent.heard[0][1].nuc_id, "nuc con ñ");
  equal((await getJson(server, "/api/nucs")).nucs.map((n) => n.nuc_id), ["nuc con ñ"]);
  await nobodyLeft(server.port);
});

test("another namespace gives connect_error with a message", async () => {
  const socket = io4(`http://127.0.0.1:${server.port}/admin`, { forceNew: true });
  open.add(socket);
  const [error] = await next(socket, "connect_error");
  check(typeof error.message === "string" && error.message.length > 0, "no message");
  await nobodyLeft(server.port);
});

test("a port where nobody listens gives connect_error", async () => {
  const socket = client(await freePort());
  await next(socket, "connect_error");
  closeAll();
});

test("SIGTERM closes sessions with a reason that makes clients come back", async () => {
  const h = await hub();
  await h.start();
  const socket = await connected(h.port, { auth: { nuc_id: "nuc_js" } });
  const gone = next(socket, "disconnect");
  await h.stop("SIGTERM");
  const [reason] = await gone;
  check(["transport close", "transport error"].includes(reason), reason);
  const back = next(socket, "connected");
  await h.start();
  await back;
  closeAll();
  await h.stop();
});

await runCases();
