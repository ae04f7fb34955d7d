#!/usr/bin/env node
// Does what doc/tutorial.md says, block by block, in a copy of the sources and a home of
// its own.  A block "c FILE" or "html FILE" is a file, "c FILE FUNCTION" replaces that
// function or goes above add_handlers; "sh" is typed into one shell; "text" is what the
// last commands are to print.  Only the port is another one.
// TEST_TIMEOUT: 400
import { spawn } from "node:child_process";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { io } from "socket.io-client";
import { check, freePort, next, tempDir, waitFor, within } from "../lib/nuchub.mjs";
import { openPage } from "../lib/page.mjs";

const { EXAMPLES, TOP } = process.env;

// It builds everything anew: once is enough.
if (/-fsanitize=/.test(readFileSync(join(EXAMPLES, "../config.status"), "utf8"))) {
  console.log("built with sanitizers: done once, without");
  process.exit(77);
}

const port = await freePort();
const home = tempDir();
const sources = join(home, "sources");
const blocks = [...readFileSync(join(TOP, "doc/tutorial.md"), "utf8").matchAll(
  /^```(\S+)(?: (\S+))?(?: (\S+))?\n(.*?)^```$/gms)]
  .map(([, kind, file, name, text]) =>
    ({ kind, file, name, text: text.replaceAll("3000", String(port)) }));

/** A shell to type into. */
class Shell {
  constructor(cwd) {
    const env = { ...process.env, HOME: home, MAKEFLAGS: "-s -j2" };
    for (const name of ["PKG_CONFIG_PATH", "LD_LIBRARY_PATH"]) delete env[name];
    this.child = spawn("bash", ["--norc", "-m"], { cwd, env, stdio: ["pipe", "pipe", "pipe"] });
    this.output = "";
    this.child.stdout.on("data", (d) => { this.output += d; });
    this.child.stderr.on("data", (d) => { this.output += d; });
    this.ended = new Promise((done) => this.child.once("close", done));
  }

  /** Types text; every line has to end well.  Gives what it printed. */
  async type(text) {
    const from = this.output.length;
    for (const line of text.trim().split("\n")) {
      this.child.stdin.write(`${line}\necho "<<$?>>"\n`);
      const at = this.output.length;
      const end = await waitFor(() => /<<(\d+)>>/.exec(this.output.slice(at)), line, 600000);
      check(end[1] === "0", `${line}: ${this.output.slice(at)}`);
    }
    return this.output.slice(from).replace(/<<0>>\n/g, "");
  }

  async end() {
    this.child.stdin.end("kill $(jobs -p) 2>/dev/null; wait\n");
    await within(this.ended, "the shell's end");
  }
}

/** The file with the function in place of the one of its name, or above add_handlers. */
function withFunction(source, name, text) {
  const old = new RegExp(`^static [^\\n]*\\b${name}\\([^{]*\\n\\{.*?^\\}\\n`, "ms");
  if (old.test(source)) return source.replace(old, () => text);
  return source.replace(/^static int add_handlers/m, () => `${text}\nstatic int add_handlers`);
}

/** What the reader does in between: two windows, and the official client. */
async function talk(url) {
  const html = await (await waitFor(() => fetch(url).catch(() => null), "the page")).text();
  const windows = [1, 2].map(() => openPage(html, url, { text: "", log: "", form: "" }));
  const socket = io(url);
  const joined = next(socket, "connect");
  await joined;
  // Whoever has joined hears; so it is said until both windows have.
  await waitFor(() => {
    windows[0].elements.text.value = "hello, window";
    try { windows[0].elements.form.onsubmit({ preventDefault() {} }); } catch { /* not open */ }
    return windows.every((w) => w.lines.includes("said: hello, window"));
  }, "what is said in the other window");
  const heard = next(socket, "said");
  socket.emit("say", "hello, official client");
  await heard;
  await waitFor(() => windows[1].lines.includes("said: hello, official client"), "that too");
  windows.forEach((w) => w.close());
  socket.close();
}

cpSync(TOP, sources, { recursive: true, filter: (path) => basename(path) === "build-aux" ||
  !/^(build.*|node_modules|\.git|autom4te\.cache)$/.test(basename(path)) });
const shell = new Shell(sources);
let printed = "", passed = 0, talked = false;

async function follow({ kind, file, name, text }) {
  const path = file && join(home, "chat", file);
  if (kind === "sh") {
    printed = await shell.type(text.replace(/\bsleep (\d)/g, (_, n) => `sleep ${3 * n}`));
    if (/^\.\/chat &$/m.test(text) && !talked) {
      talked = true;
      await talk(`http://127.0.0.1:${port}/`);
    }
  } else if (kind === "text") {
    check(printed.includes(text), `printed: ${printed}`);
  } else {
    writeFileSync(path, name ? withFunction(readFileSync(path, "utf8"), name, text) : text);
  }
}

let failed = 0;
for (const block of blocks) {
  const title = [block.kind, block.file, block.name, block.text.split("\n")[0]].join(" ");
  try {
    await follow(block);
    passed++;
    console.log(`ok ${title}`);
  } catch (e) {
    failed++;
    console.log(`not ok ${title}: ${e.message}`);
    break; // what follows stands on it
  }
}
check(talked || failed, "no server was started");
await shell.end();
rmSync(home, { recursive: true, force: true });
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
