// Helpers of the tests in JavaScript: programs, cases, waiting for conditions.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, openSync, rmSync } from "node:fs";
import { connect as tcpConnect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const TIMEOUT_MS = 20000;
const cases = [];
const programs = [];
const folders = [];

export function test(name, run, ms = 60000) {
  cases.push({ name, run, ms });
}

export function check(condition, why = "condition is false") {
  if (!condition) throw new Error(why);
}

export function equal(got, wanted, what = "") {
  const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)];
  const cut = (s) => (s && s.length > 300 ? `${s.slice(0, 200)}... (${s.length})` : s);
  if (a !== b) throw new Error(`${what ? what + ": " : ""}got ${cut(a)}, wanted ${cut(b)}`);
}

/** The first true value of condition(), asked again and again. */
export async function waitFor(condition, what, ms = TIMEOUT_MS) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${ms} ms in vain for ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** A promise that fails when it takes too long. */
export function within(promise, what, ms = TIMEOUT_MS) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`waited ${ms} ms in vain for ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The arguments of the next event of that name. */
export function next(emitter, name, what = name) {
  return within(new Promise((done) => emitter.once(name, (...args) => done(args))), what);
}

export async function freePort() {
  const [first, last] = (process.env.TEST_PORTS ?? "20000-31999").split("-").map(Number);
  for (;;) {
    const port = first + Math.floor(Math.random() * (last + 1 - first));
    const free = await new Promise((done) => {
      const s = createServer().once("error", () => done(false));
      s.listen(port, "127.0.0.1", () => s.close(() => done(true)));
    });
    if (free) return port;
  }
}

export function tempDir() {
  const path = mkdtempSync(join(tmpdir(), "nuchub-test-"));
  folders.push(path);
  return path;
}

function listening(port) {
  return new Promise((done) => {
    const s = tcpConnect(port, "127.0.0.1", () => done(true) || s.destroy());
    s.on("error", () => done(false));
  });
}

/** A program of ours, a server if it has a port; it is ended by its own id. */
export class Server {
  constructor(argv, port, env = {}) {
    Object.assign(this, { argv, port, env, logPath: join(tempDir(), "log"), child: null });
    programs.push(this);
  }

  async start() {
    const log = openSync(this.logPath, "a");
    const { PATH, HOME, LD_LIBRARY_PATH, ASAN_OPTIONS, UBSAN_OPTIONS } = process.env;
    this.child = spawn(this.argv[0], this.argv.slice(1).map(String), {
      stdio: ["ignore", log, log],
      cwd: tempDir(),
      env: { PATH, HOME, ...(LD_LIBRARY_PATH && { LD_LIBRARY_PATH }),
             ...(ASAN_OPTIONS && { ASAN_OPTIONS }), ...(UBSAN_OPTIONS && { UBSAN_OPTIONS }),
             ...this.env },
    });
    this.ended = new Promise((done) => this.child.once("exit", (code) => done(code)));
    await waitFor(() => this.child.exitCode !== null || !this.port || listening(this.port),
                  this.argv[0]);
    check(this.child.exitCode === null, `${this.argv[0]} ended: ${this.log()}`);
    return this;
  }

  log() {
    return readFileSync(this.logPath, "utf8");
  }

  async stop(signal = "SIGTERM") {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill(signal);
    await within(this.ended, `the end of ${this.argv[0]}`);
  }
}

export async function hub(...options) {
  check(process.env.NUCHUBD, "NUCHUBD is not set");
  const port = await freePort();
  return new Server([process.env.NUCHUBD, "--port", port, "--state-dir", tempDir(), ...options],
                    port);
}

/** nuchub-agent for a hub of ours. */
export function agent(server, cameras, settings = {}) {
  check(process.env.NUCHUB_AGENT, "NUCHUB_AGENT is not set");
  return new Server([process.env.NUCHUB_AGENT], 0, {
    SERVER_URL: `http://127.0.0.1:${server.port}`, NUC_ID: "sede", CAMARAS_IPS: cameras,
    INTERVALO_SNAPSHOT: "3600", ...settings });
}

export async function conformance(...options) {
  check(process.env.CONFORMANCE, "CONFORMANCE is not set");
  const port = await freePort();
  return new Server([process.env.CONFORMANCE, "--port", port, ...options], port);
}

export async function getJson(server, target) {
  const reply = await fetch(`http://127.0.0.1:${server.port}${target}`);
  return reply.json();
}

export async function runCases() {
  let passed = 0, failed = 0;
  const words = process.argv.slice(2);
  for (const { name, run, ms } of cases) {
    if (words.length && !words.some((w) => name.includes(w))) continue;
    try {
      const begun = Date.now();
      await within(run(), name, ms);
      passed++;
      const seconds = Math.round((Date.now() - begun) / 1000);
      console.log(`ok ${name}${seconds ? ` (${seconds} s)` : ""}`);
    } catch (e) {
      failed++;
      const where = /mjs:(\d+):\d+\)?$/m.exec((e.stack ?? "").split("\n").filter(
        (l) => l.includes(".test.mjs")).at(0) ?? "");
      console.log(`not ok ${name}: ${e.message.replace(/\s+/g, " ").slice(0, 600)} ` +
                  `(line ${where ? where[1] : "?"})`);
    }
  }
  for (const p of programs) {
    await p.stop().catch((e) => { failed++; console.log(`not ok stop: ${e.message}`); });
    const log = p.log ? (() => { try { return p.log(); } catch { return ""; } })() : "";
    if (/ERROR: (Address|Leak)Sanitizer|runtime error:/.test(log)) {
      failed++;
      console.log(`not ok sanitizer: ${log.slice(-2000)}`);
    }
  }
  for (const f of folders) rmSync(f, { recursive: true, force: true });
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}

/** Base64 text that begins like a JPEG, n characters (a multiple of 4). */
export function jpegText(n = 400, seed = 0) {
  const raw = Buffer.alloc((n / 4) * 3);
  let x = (seed * 2654435761 + 12345) >>> 0;
  for (let i = 0; i < raw.length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    raw[i] = x >>> 24;
  }
  Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 0x10, 0x4a, 0x46, 0x49, 0x46, 0, 1]).copy(raw);
  return raw.toString("base64");
}
