#!/usr/bin/env node
// socket.io-client 2 against the hub, beside clients of today; off unless it is allowed.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { io } from "socket.io-client";
import io2 from "socket.io-client-v2";
import {
  check, equal, getJson, hub, jpegText, next, runCases, tempDir, test,
} from "../lib/nuchub.mjs";

const TRANSPORTS = { polling: ["polling"], websocket: ["websocket"],
                     upgrade: ["polling", "websocket"] };
const file = join(tempDir(), "nuchubd.conf");
writeFileSync(file, "allow_eio3 = yes\n");
const server = await hub("--config", file);
const strict = await hub();
await server.start();
await strict.start();
const url = (s) => `http://127.0.0.1:${s.port}`;

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  test(`${name}: an old agent, an old viewer and one of today`, async () => {
    const options = { transports, forceNew: true };
    const viewers = [io(url(server), options), io2(url(server), options)];
    await Promise.all(viewers.map((v) => next(v, "connected")));
    const agent = io2(url(server), { ...options, query: { nuc_id: "nuc_old" } });
    const [greeting] = await next(agent, "connected");
    equal(greeting.nuc_id, "nuc_old");
    const registered = next(agent, "registered");
    agent.emit("nuc_register", { nuc_id: "nuc_old", camaras: ["192.0.2.9"] });
    await registered;
    for (const image of [jpegText(400), jpegText(120000, 1)]) {
      const seen = viewers.map((v) => next(v, "snapshot_update"));
      agent.emit("snapshot", { nuc_id: "nuc_old", ip: "192.0.2.9", image, estado: "activa",
                               timestamp: "2026-01-02T03:04:05" });
      for (const [update] of await Promise.all(seen)) {
        equal(update.ip, "192.0.2.9");
        check(update.image.endsWith(image), "another picture");
      }
    }
    equal((await getJson(server, "/api/nucs")).nucs.map((n) => n.nuc_id), ["nuc_old"]);
    const bytes = Buffer.from(jpegText(8000, 2), "base64");
    const seen = viewers.map((v) => next(v, "snapshot_update"));
    agent.emit("snapshot", { nuc_id: "nuc_old", ip: "192.0.2.9", image: bytes,
                             estado: "activa", timestamp: "2026-01-02T03:04:06" });
    for (const [update] of await Promise.all(seen))
      check(String(update.image).endsWith(bytes.toString("base64")), "other bytes");
    for (const socket of [agent, ...viewers]) socket.close();
  });
}

test("it is off unless it is allowed", async () => {
  const socket = io2(url(strict), { transports: ["polling"], reconnection: false });
  const [error] = await next(socket, "connect_error");
  equal(error.description, 400);
  socket.close();
});

await runCases();
