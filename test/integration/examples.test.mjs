#!/usr/bin/env node
// The examples of the library, each with real clients: chat and its page, echo, the
// command line client, and the servers inside GLib's and libuv's loops.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server as SocketServer } from "socket.io";
import { io } from "socket.io-client";
import { check, equal, freePort, next, runCases, Server, test, waitFor, within }
  from "../lib/nuchub.mjs";
import { openPage } from "../lib/page.mjs";

const { EXAMPLES, TOP } = process.env;
const sockets = [];

async function start(name, ...args) {
  const port = await freePort();
  return new Server([join(EXAMPLES, name), port, ...args], port).start();
}

async function connect(server, options = {}) {
  const s = io(`http://127.0.0.1:${server.port}`, { forceNew: true, reconnection: false,
                                                    ...options });
  sockets.push(s);
  await next(s, "connect");
  return s;
}

function closeAll() {
  for (const s of sockets.splice(0)) s.close();
}

/** Runs the command line client to its end. */
function client(...args) {
  const child = spawn(join(EXAMPLES, "client"), args.map(String));
  const out = { stdout: "", stderr: "", child };
  child.stdout.on("data", (d) => { out.stdout += d; });
  child.stderr.on("data", (d) => { out.stderr += d; });
  out.end = within(new Promise((done) => child.once("close", done)), `client ${args}`)
    .then((code) => ({ code, stdout: out.stdout, stderr: out.stderr }));
  return out;
}

for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
  test(`chat: rooms and nick names, ${transports.join(" to ")}`, async () => {
    const server = await start("chat", join(TOP, "examples/chat.html"));
    const [ann, bob, eve] = await Promise.all(
      [1, 2, 3].map(() => connect(server, { transports })));
    const heard = { ann: [], bob: [], eve: [] };
    for (const [name, s] of Object.entries({ ann, bob, eve }))
      s.onAny((...args) => heard[name].push(args));

    equal(await ann.timeout(20000).emitWithAck("enter", "Ann", "tea"), ["Ann"]);
    equal(await eve.timeout(20000).emitWithAck("enter", "Eve", "coffee"), ["Eve"]);
    equal((await bob.timeout(20000).emitWithAck("enter", "Bob", "tea")).sort(),
          ["Ann", "Bob"]);
    bob.emit("say", "hällo");
    await waitFor(() => heard.ann.some(([e]) => e === "said"), "what Bob says");
    equal(heard.ann, [["entered", "Ann", "tea"], ["entered", "Bob", "tea"],
                      ["said", "Bob", "hällo"]]);
    equal(await ann.timeout(20000).emitWithAck("enter", "", "tea"), null);
    equal(await ann.timeout(20000).emitWithAck("enter", "x".repeat(64), "tea"), null);
    equal(await ann.timeout(20000).emitWithAck("enter", 7, "tea"), null);
    equal(await ann.timeout(20000).emitWithAck("enter"), null);
    bob.close();
    await waitFor(() => heard.ann.some(([e]) => e === "left"), "Bob's leaving");
    equal(heard.ann.at(-1).slice(0, 2), ["left", "Bob"]);
    equal(heard.eve, [["entered", "Eve", "coffee"]]);
    closeAll();
    await server.stop();
    equal(server.child.exitCode, 0);
  });
}

const noRedis = spawnSync("redis-server", ["--version"]).error ||
  /without Redis/.test(spawnSync(join(EXAMPLES, "chat"), ["0", "x", "redis://["]).stderr);

if (!noRedis) test("chat: two servers are one", async () => {
  const folder = mkdtempSync(join(tmpdir(), "chat-"));
  const port = await freePort();
  const redis = await new Server(["redis-server", "--port", port, "--bind", "127.0.0.1",
                                  "--save", "", "--dir", folder], port).start();
  const page = join(TOP, "examples/chat.html");
  const servers = await Promise.all([1, 2].map(() =>
    start("chat", page, `redis://127.0.0.1:${port}`)));
  const [ann, bob] = await Promise.all(servers.map((s) => connect(s)));
  await ann.timeout(20000).emitWithAck("enter", "Ann", "tea");
  let who;
  for (let i = 0; i < 100 && who?.length !== 2; i++) // until they hear each other
    who = await bob.timeout(20000).emitWithAck("enter", "\"Bob\"", "tea");
  equal(who.sort(), ['"Bob"', "Ann"]);
  const said = next(ann, "said");
  bob.emit("say", "hello");
  equal(await said, ['"Bob"', "hello"]);
  closeAll();
  for (const s of servers) {
    await s.stop();
    equal(s.child.exitCode, 0);
  }
  await redis.stop();
  rmSync(folder, { recursive: true });
});

test("chat: the page, and the client that is in it", async () => {
  const server = await start("chat", join(TOP, "examples/chat.html"));
  const url = `http://127.0.0.1:${server.port}/`;
  const reply = await fetch(url);
  const page = await reply.text();
  equal(reply.headers.get("content-type"), "text/html; charset=utf-8");
  equal(page, readFileSync(join(TOP, "examples/chat.html"), "utf8"));
  equal((await fetch(`${url}nothing`)).status, 404);

  const chat = openPage(page, url, { nick: "Ann", room: "tea", text: "hello", log: "",
                                     door: "", mouth: "" });
  await waitFor(() => chat.lines.includes("here: Ann"), "the list of who is here");
  chat.elements.mouth.onsubmit({ preventDefault() {} });
  await waitFor(() => chat.lines.includes("Ann: hello"), "what Ann says");
  equal(chat.elements.text.value, "");
  chat.close();
  await waitFor(() => chat.lines.includes("offline"), "the end");
  await server.stop();
});

test("chat: mistakes on the command line", async () => {
  const bad = new Server([join(EXAMPLES, "chat"), "0", "/nonexistent.html"], 1);
  await bad.start().then(() => check(false, "it runs"), (e) =>
    check(/nonexistent\.html/.test(e.message), e.message));
});

test("echo: every event, every ack, binary too", async () => {
  const server = await start("echo");
  const s = await connect(server);
  const back = next(s, "x");
  s.emit("x", 1, { a: Buffer.from([1, 2]) }, "ü");
  const [one, object, text] = await back;
  equal([one, [...object.a], text], [1, [1, 2], "ü"]);
  equal([...(await s.timeout(20000).emitWithAck("y", Buffer.from([7])))], [7]);
  closeAll();
  await server.stop();
});

test("client: call and emit, what is JSON and what is text", async () => {
  const server = await start("echo");
  const url = `http://127.0.0.1:${server.port}`;
  for (const transport of ["websocket", "polling", "upgrade"])
    equal(await client("-t", transport, url, "call", "e", 1, "two", '{"a":[3]}', "").end,
          { code: 0, stdout: '[1,"two",{"a":[3]},""]\n', stderr: "" }, transport);
  equal(await client(url, "emit", "e", "x").end, { code: 0, stdout: "", stderr: "" });
  await server.stop();
});

test("client: against node's server", async () => {
  const http = createServer();
  const server = new SocketServer(http, { path: "/other/" });
  const got = [];
  let auth;
  server.of("/n").use((s, nextOne) => {
    auth = s.handshake.auth;
    nextOne(auth.token === "t" ? undefined : new Error("who are you"));
  });
  server.of("/n").on("connection", (s) => {
    s.on("e", (...args) => got.push(args));
    s.on("never", () => {});
    s.emit("first", "q\"\n", [1], Buffer.from([0, 255]));
    s.emit("second");
  });
  await new Promise((done) => http.listen(0, "127.0.0.1", done));
  const url = `http://127.0.0.1:${http.address().port}`;
  const known = ["-p", "/other/", "-n", "/n", "-a", '{"token":"t"}', "-H", "X-A: b"];

  const listener = client(...known, url, "listen");
  await waitFor(() => listener.stdout.split("\n").length > 2, "two lines");
  listener.child.kill("SIGTERM");
  equal((await listener.end).code, 0);
  equal(listener.stdout,
    '{"event":"first","args":["q\\"\\n",[1],{"_placeholder":true,"num":0}],' +
    '"attachments":[[0,255]]}\n{"event":"second","args":[]}\n');
  const chosen = client(...known, url, "listen", "second");
  await waitFor(() => chosen.stdout, "one line");
  chosen.child.kill("SIGINT");
  equal((await chosen.end).stdout, '{"event":"second","args":[]}\n');

  equal((await client(...known, url, "emit", "e", "last").end).code, 0);
  await waitFor(() => got.length, "the event");
  equal(got, [["last"]]);
  const late = await client(...known, "-w", 300, url, "call", "never").end;
  equal([late.code, /no answer/.test(late.stderr)], [1, true]);
  const refused = await client("-p", "/other/", "-n", "/n", url, "listen").end;
  equal([refused.code, refused.stderr], [1, "client: refused: who are you\n"]);
  server.close();
});

test("client: mistakes in its arguments", async () => {
  const url = "http://127.0.0.1:1";
  for (const args of [[], [url], [url, "sing"], [url, "emit"], ["-t", "carrier", url, "listen"],
                      ["-z", url, "listen"], ["-a", "no", url, "listen"],
                      ["-n", "n", url, "listen"], ["ftp://x", "listen"]])
    equal((await client(...args).end).code, 2, args.join(" "));
  const away = await client(url, "listen").end;
  equal([away.code, /refused/i.test(away.stderr)], [1, true]);
});

for (const name of ["embed-glib", "embed-uv"]) {
  for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
    test(`${name}: both loops turn, ${transports.join(" to ")}`, async () => {
      if (!existsSync(join(EXAMPLES, name))) return;
      const server = await start(name);
      const s = await connect(server, { transports });
      // What the other loop's timer emits between two turns arrives by itself.
      const [first] = await next(s, "tick");
      const [second] = await next(s, "tick");
      equal(second, first + 1);
      const answer = await s.timeout(20000).emitWithAck("hello");
      check(answer >= second, `${answer} after ${second}`);
      // Nothing to do is nothing done: no time on the processor between the ticks.
      const used = cpu(server.child.pid);
      await next(s, "tick");
      await next(s, "tick");
      check(cpu(server.child.pid) - used < 50, "it turns for nothing");
      closeAll();
      await server.stop();
      equal(server.child.exitCode, 0);
    });
  }
}

/** Ticks of the clock (10 ms) that a process has used. */
function cpu(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

await runCases();
