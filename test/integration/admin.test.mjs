#!/usr/bin/env node
// The hub's namespace for the Admin UI, and a viewer that comes back to what it missed.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { io } from "socket.io-client";
import { check, equal, hub, jpegText, next, runCases, tempDir, test } from "../lib/nuchub.mjs";

const dir = tempDir();
const file = join(dir, "nuchubd.conf");
const hash = join(dir, "admin.hash");
// bcrypt of 'open sesame'
writeFileSync(hash, "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy\n");
writeFileSync(file, `admin_user = ana\nadmin_hash_file = ${hash}\nadmin_write = yes\n` +
  "admin_events = yes\nrecovery = 60\n");
const server = await hub("--config", file);
await server.start();
const url = `http://127.0.0.1:${server.port}`;
const dial = (nsp, options) => io(url + nsp, { transports: ["websocket"], forceNew: true, ...options });

test("shows who is there to who knows the password", async () => {
  const stranger = dial("/admin", { auth: { username: "ana", password: "sesame" } });
  const [error] = await next(stranger, "connect_error");
  equal(error.message, "invalid credentials");
  stranger.close();
  const viewer = dial("/");
  await next(viewer, "connected");
  const ui = dial("/admin", { auth: { username: "ana", password: "open sesame" } });
  const [all, stats] = await Promise.all([next(ui, "all_sockets"), next(ui, "server_stats")]);
  check(all[0].some((s) => s.id === viewer.id && s.nsp === "/"), "the viewer is missing");
  equal(stats[0].namespaces.find((n) => n.name === "/").socketsCount, 1);
  const gone = next(viewer, "disconnect");
  ui.emit("_disconnect", "/", false, viewer.id);
  equal((await gone)[0], "io server disconnect");
  for (const s of [ui, viewer]) s.close();
});

test("a viewer that lost its connection finds the picture that it missed", async () => {
  const viewer = dial("/", { reconnectionDelay: 10, reconnectionDelayMax: 20 });
  await next(viewer, "connected");
  const agent = dial("/", { query: { nuc_id: "nuc_1" } });
  await next(agent, "connected");
  const snapshot = (image) => agent.emit("snapshot", {
    nuc_id: "nuc_1", ip: "192.0.2.9", image, estado: "activa", timestamp: "2026-01-02T03:04:05",
  });
  const first = next(viewer, "snapshot_update");
  snapshot(jpegText(400));
  await first;
  const { id } = viewer;
  const back = next(viewer, "connect");
  viewer.io.engine.transport.ws.terminate();
  const missed = next(viewer, "snapshot_update");
  snapshot(jpegText(5000, 1));
  await back;
  const [update] = await missed;
  check(update.image.endsWith(jpegText(5000, 1)), "another picture");
  equal(viewer.recovered, true);
  equal(viewer.id, id);
  for (const s of [agent, viewer]) s.close();
});

await runCases();
