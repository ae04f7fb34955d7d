#!/usr/bin/env node
// Many clients of both protocols on every transport join, talk, upgrade and leave in every
// way, while each acknowledged message is kept account of: soak.mjs [SECONDS] [CLIENTS].
//
// After each round all have left, and the server's sessions and files must be those of the start,
// and its allocated bytes those after the first round, which fills its tables.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Client, closeIdle } from './client.mjs';

const SECONDS = Number(process.argv[2] ?? 6);
const CLIENTS = Number(process.argv[3] ?? 200);
const ROUNDS = SECONDS < 60 ? 2 : 5;
// A machine that is busy may keep us from answering a ping; `delay` tells how long it did.
const PING_TIMEOUT_MS = SECONDS < 60 ? 8000 : 30000;
const delay = monitorEventLoopDelay();
const ENDS = ['leave', 'leave', 'leave', 'kick', 'kick-close', 'cut', 'silent'];
const TRANSPORTS = ['polling', 'websocket', 'upgrade'];
const any = (list) => list[Math.floor(Math.random() * list.length)];
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const total = { joined: 0, acked: 0, upgraded: 0, unanswered: {} };
const faults = [];
let port, server, running;
let files; // open at the start, with the connection that asks

function fault(text) {
  if (faults.push(text) <= 20) console.log(`FAULT ${text}`);
}

/** One client from its opening to its end; resolves when it has gone. */
function life() {
  const protocol = any([3, 4]);
  const transport = any(TRANSPORTS);
  const end = any(ENDS);
  const who = `EIO${protocol} ${transport} ${end}`;
  const due = []; // what is still to be acknowledged, in order
  const messages = 3 + Math.floor(Math.random() * 30);
  let sent = 0;
  let leaving = false;
  let kicked = false;
  let timer;
  return new Promise((resolve) => {
    const late = setTimeout(() => {
      fault(`${who}: ${sent} sent, ${due.length} not acknowledged, does not end`);
      client.end('late');
    }, 120000);

    function say() {
      const burst = Math.random() < 0.2 ? 10 : 1;
      for (let i = 0; i < burst && sent < messages; i++) {
        const args = [sent, 'é'.repeat(Math.random() * 200)];
        const bytes = Math.random() < 0.2 ? Buffer.alloc(1 + Math.random() * 2000, sent) : null;
        client.emit(sent++, 'message-with-ack', ...args, ...(bytes ? [bytes] : []));
        due.push(JSON.stringify([...args, ...(bytes ? [bytes.toString('hex')] : [])]));
      }
      if (sent < messages) timer = setTimeout(say, Math.random() * 200);
      else if (end !== 'leave') go();
    }

    function go() {
      leaving = true;
      if (end === 'leave') client.leave();
      else if (end === 'cut') client.cut();
      else if (end === 'silent') client.silent = true;
      else client.emit(null, end);
    }

    const client = new Client(port, protocol, transport, {
      connected() {
        total.joined++;
        say();
      },
      event(name) {
        if (name !== '(disconnect)') return;
        kicked = true;
        client.leave();
      },
      ack(id, args) {
        const wanted = due.shift();
        if (id !== sent - due.length - 1 || JSON.stringify(args) !== wanted)
          fault(`${who}: ack ${id}, wanted ${sent - due.length - 1}, ${due.length + 1} due`);
        total.acked++;
        if (sent === messages && due.length === 0 && end === 'leave') go();
      },
      ended(why) {
        clearTimeout(timer);
        clearTimeout(late);
        if (client.upgraded) total.upgraded++;
        if (!leaving) fault(`${who}: ${why} after ${sent} messages`);
        // All that was said before somebody was asked to leave is answered before he does.
        const must = end === 'leave' || end === 'kick' || end === 'silent';
        if (leaving && must && due.length > 0) fault(`${who}: ${due.length} lost, ${why}`);
        if (end === 'kick' && leaving && !kicked) fault(`${who}: no DISCONNECT, ${why}`);
        if (due.length > 0) total.unanswered[end] = (total.unanswered[end] ?? 0) + due.length;
        resolve();
      },
    });
  });
}

async function lives() {
  while (running) await life();
}

/** What the server holds, by its own account and the kernel's. */
async function holds() {
  const stats = await new Promise((resolve, reject) => {
    const witness = new Client(port, 4, 'websocket', {
      connected: () => witness.emit(0, 'stats'),
      event() {},
      ack: (_, [answer]) => resolve(answer) ?? witness.end(),
      ended: (why) => reject(new Error(why)),
    });
  });
  const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`))[1]);
  return { ...stats, files: readdirSync(`/proc/${server.pid}/fd`).length, rss };
}

async function round(number) {
  running = true;
  const all = Array.from({ length: CLIENTS }, lives);
  await sleep((SECONDS * 1000) / ROUNDS);
  running = false;
  await Promise.all(all);
  closeIdle();
  let now;
  for (let i = 0; i < 300; i++) { // the server may still learn of the last ones
    now = await holds();
    if (now.sessions === 1 && now.files === files) break;
    await sleep(100);
  }
  if (now.sessions !== 1) fault(`${now.sessions - 1} sessions are left`);
  if (now.files !== files) fault(`${now.files - files} files more`);
  console.log(`round ${number}: ${total.joined} joined, ${total.upgraded} upgraded, ` +
    `${total.acked} acknowledged, not answered ${JSON.stringify(total.unanswered)}; ` +
    `${now.allocated} bytes allocated, ${now.files} files, RSS ${now.rss} kB; ` +
    `we slept ${Math.round(delay.max / 1e6)} ms at most`);
  return now;
}

async function main() {
  server = spawn(process.env.CONFORMANCE, ['--port', '0', '--allow-eio3', '--ping-interval', '1000',
    '--ping-timeout', PING_TIMEOUT_MS], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(server, 'exit');
  port = Number(/port (\d+)/.exec((await once(server.stdout, 'data'))[0])[1]);
  delay.enable();
  ({ files } = await holds());
  const first = await round(1);
  let last;
  for (let i = 2; i <= ROUNDS; i++) last = await round(i);
  const slack = last.exact ? 64 << 10 : 1 << 20; // tables that grew, what glibc keeps
  if (last.allocated > first.allocated + slack)
    fault(`${last.allocated - first.allocated} bytes more than after the first round`);
  server.kill('SIGTERM');
  const [code, signal] = await ended;
  if (code !== 0) fault(`the server ended with ${code ?? signal}`);
  console.log(`${faults.length === 0 ? 1 : 0} passed, ${faults.length === 0 ? 0 : 1} failed`);
  process.exit(faults.length === 0 ? 0 : 1);
}

await main();
