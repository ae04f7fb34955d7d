// What the protocol suites share: a server of their own, raw HTTP, a raw WebSocket, polling
// sessions, and a runner that prints TAP lines and ends with "N passed, N failed".
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';

export { assert };

const program = process.env.CONFORMANCE;
const LIMIT_MS = 5000; // for whatever is awaited

/** Fails if the promise takes too long; the time is a limit, never an expectation. */
export function soon(promise, what, ms = LIMIT_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited too long for ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function isFree(port) {
  const probe = net.createServer();
  const free = new Promise((resolve) => {
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
  return free;
}

// Below the range that the kernel gives to clients.
export async function freePort() {
  for (;;) {
    const port = 20000 + Math.floor(Math.random() * 12000);
    if (await isFree(port)) return port;
  }
}

const servers = new Set();

/** Starts the program with these options; ends with stop() or with the suite. */
export async function startServer(...options) {
  return startServerOn(await freePort(), ...options);
}

/** The same on a port that is known already. */
export async function startServerOn(port, ...options) {
  const child = spawn(program, ['--port', String(port), ...options.map(String)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const server = { port, child, errors: '' };
  child.stderr.on('data', (d) => (server.errors += d));
  server.ended = once(child, 'exit');
  await soon(Promise.race([once(child.stdout, 'data'), server.ended]), 'the server', 20000);
  assert.equal(child.exitCode, null, `the server did not start: ${server.errors}`);
  server.stop = async (signal = 'SIGTERM') => {
    servers.delete(server);
    child.kill(signal);
    const [code] = await soon(server.ended, 'the end of the server', 20000);
    if (signal === 'SIGTERM') assert.equal(code, 0, `the server ended badly: ${server.errors}`);
  };
  servers.add(server);
  return server;
}

const tests = [];
export function test(name, fn) {
  tests.push({ name, fn });
}

/** Runs all tests in order, or those whose names contain a word of the command line. */
export async function run() {
  const words = process.argv.slice(2);
  let passed = 0;
  let failed = 0;
  const verdict = (ok, name, error) => {
    if (ok) passed++;
    else failed++;
    console.log(`${ok ? 'ok' : 'not ok'} ${passed + failed} - ${name}`);
    if (error) console.log(String(error.stack ?? error).replace(/^/gm, '# '));
  };
  for (const { name, fn } of tests) {
    if (words.length && !words.some((w) => name.includes(w))) continue;
    try {
      await soon(fn(), name, 30000);
      verdict(true, name);
    } catch (error) {
      verdict(false, name, error);
    }
  }
  for (const server of servers) {
    try {
      await server.stop();
    } catch (error) {
      verdict(false, 'the server ends cleanly', error);
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}

/** One request on a connection of its own. */
export function request(port, method, path, { headers = {}, body } = {}) {
  const done = new Promise((resolve, reject) => {
    const req = http.request(
      { host: '127.0.0.1', port, method, path, headers, agent: false },
      (res) => {
        const chunks = [];
        res.on('data', (c) => chunks.push(c));
        res.on('error', reject);
        res.on('end', () => {
          const bytes = Buffer.concat(chunks);
          resolve({ status: res.statusCode, headers: res.headers, bytes, body: bytes.toString() });
        });
      },
    );
    req.on('error', reject);
    req.end(body);
  });
  return soon(done, `${method} ${path}`, 10000);
}

/** Sends bytes as they are and gives all that comes back until the server closes. */
export async function rawExchange(port, bytes) {
  const socket = net.connect(port, '127.0.0.1');
  const chunks = [];
  socket.on('data', (d) => chunks.push(d));
  socket.on('error', () => {});
  const closed = once(socket, 'close');
  socket.write(bytes);
  await soon(closed, 'the server to close');
  return Buffer.concat(chunks).toString('latin1');
}

export const SEPARATOR = '\x1e';

/** A polling session. */
export class Polling {
  constructor(port, path = '/socket.io/') {
    this.port = port;
    this.path = path;
    this.queue = [];
  }

  url(extra = '') {
    const sid = this.sid ? `&sid=${this.sid}` : '';
    return `${this.path}?EIO=4&transport=polling${sid}${extra}`;
  }

  async open(query = '') {
    const res = await request(this.port, 'GET', this.url(query));
    assert.equal(res.status, 200, res.body);
    assert.equal(res.body[0], '0');
    this.handshake = JSON.parse(res.body.slice(1));
    this.sid = this.handshake.sid;
    return this;
  }

  get() {
    return request(this.port, 'GET', this.url());
  }

  post(body, headers = {}) {
    return request(this.port, 'POST', this.url(), {
      body,
      headers: { 'Content-Type': 'text/plain;charset=UTF-8', ...headers },
    });
  }

  async send(...packets) {
    const res = await this.post(packets.join(SEPARATOR));
    assert.equal(res.status, 200, res.body);
    assert.equal(res.body, 'ok');
  }

  /** The next packet; pings are answered on the way. */
  async next() {
    for (;;) {
      while (this.queue.length === 0) {
        const res = await this.get();
        assert.equal(res.status, 200, res.body);
        this.queue.push(...res.body.split(SEPARATOR));
      }
      const packet = this.queue.shift();
      if (packet !== '2') return packet;
      await this.send('3');
    }
  }

  /** Joins a namespace and reads the reply and "auth". */
  async join(nsp = '/') {
    const prefix = nsp === '/' ? '' : `${nsp},`;
    await this.send(`40${prefix}`);
    const reply = await this.next();
    assert.ok(reply.startsWith(`40${prefix}{"sid":"`), reply);
    assert.equal(await this.next(), `42${prefix}["auth",{}]`);
    return this;
  }

  /** The session is unknown to the server. */
  async expectGone() {
    const res = await this.get();
    assert.equal(res.status, 400);
    assert.equal(res.body, '{"code":1,"message":"Session ID unknown"}');
  }
}

const OPCODES = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

/** A frame as a client sends it; the options break the rules one by one. */
export function frame(opcode, payload, { fin = true, rsv = 0, mask = true, length } = {}) {
  const data = Buffer.from(payload);
  const size = length ?? data.length;
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | (OPCODES[opcode] ?? opcode)];
  const bit = mask ? 0x80 : 0;
  let extended = Buffer.alloc(0);
  if (typeof size === 'bigint' || size > 0xffff) {
    head.push(bit | 127);
    extended = Buffer.alloc(8);
    extended.writeBigUInt64BE(BigInt(size));
  } else if (size > 125) {
    head.push(bit | 126);
    extended = Buffer.alloc(2);
    extended.writeUInt16BE(size);
  } else {
    head.push(bit | size);
  }
  if (!mask) return Buffer.concat([Buffer.from(head), extended, data]);
  const key = randomBytes(4);
  const masked = Buffer.from(data);
  for (let i = 0; i < masked.length; i++) masked[i] ^= key[i & 3];
  return Buffer.concat([Buffer.from(head), extended, key, masked]);
}

/** A WebSocket over a plain socket: sends anything, checks what comes. */
export class RawWs {
  constructor(port, path) {
    this.port = port;
    this.path = path;
    this.input = Buffer.alloc(0);
    this.frames = [];
    this.waiters = [];
    this.ended = false;
    this.mayPack = false; // permessage-deflate was agreed
  }

  /** Opens with the handshake; extra is sent in the same write. */
  async connect(extra = Buffer.alloc(0), headers = {}) {
    const key = randomBytes(16).toString('base64');
    const fields = {
      Host: `127.0.0.1:${this.port}`,
      Upgrade: 'websocket',
      Connection: 'Upgrade',
      'Sec-WebSocket-Key': key,
      'Sec-WebSocket-Version': '13',
      ...headers,
    };
    this.socket = net.connect(this.port, '127.0.0.1');
    this.socket.setNoDelay(true);
    const head = Object.entries(fields).map(([k, v]) => `${k}: ${v}\r\n`).join('');
    this.socket.write(Buffer.concat([Buffer.from(`GET ${this.path} HTTP/1.1\r\n${head}\r\n`), extra]));
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.ended = true;
      this.wake();
    });
    const opened = new Promise((resolve) => (this.onHead = resolve));
    this.socket.on('data', (d) => this.take(d));
    this.head = await soon(opened, 'the handshake');
    if (this.head.startsWith('HTTP/1.1 101')) {
      const accept = createHash('sha1')
        .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
        .digest('base64');
      assert.match(this.head, new RegExp(`sec-websocket-accept: ${accept.replace(/[+]/g, '\\+')}`, 'i'));
    }
    return this;
  }

  take(data) {
    this.input = Buffer.concat([this.input, data]);
    if (this.head === undefined) {
      const end = this.input.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = this.input.subarray(0, end + 4).toString('latin1');
      this.input = this.input.subarray(end + 4);
      this.head = head;
      this.onHead(head);
      if (!head.startsWith('HTTP/1.1 101')) return;
    }
    while (this.cutFrame());
  }

  cutFrame() {
    const b = this.input;
    if (b.length < 2) return false;
    const packed = this.mayPack && (b[0] & 0x40) !== 0;
    assert.equal(b[0] & (packed ? 0x30 : 0x70), 0, 'a reserved bit is set');
    assert.equal(b[0] & 0x80, 0x80, 'a fragment');
    assert.equal(b[1] & 0x80, 0, 'a masked frame from a server');
    let length = b[1] & 0x7f;
    let at = 2;
    if (length === 126) {
      if (b.length < 4) return false;
      length = b.readUInt16BE(2);
      assert.ok(length > 125, 'not the shortest length');
      at = 4;
    } else if (length === 127) {
      if (b.length < 10) return false;
      length = Number(b.readBigUInt64BE(2));
      assert.ok(length > 0xffff, 'not the shortest length');
      at = 10;
    }
    if (b.length < at + length) return false;
    this.frames.push({ opcode: b[0] & 15, packed, payload: Buffer.from(b.subarray(at, at + length)) });
    this.input = b.subarray(at + length);
    this.wake();
    return true;
  }

  wake() {
    const waiters = this.waiters;
    this.waiters = [];
    for (const resume of waiters) resume();
  }

  /** The next frame of any kind; null: the connection has ended. */
  async frame() {
    const got = (async () => {
      while (this.frames.length === 0 && !this.ended)
        await new Promise((resolve) => this.waiters.push(resolve));
      return this.frames.shift() ?? null;
    })();
    return soon(got, 'a frame');
  }

  /** The next Engine.IO packet: text or Buffer; pings are answered on the way. */
  async next() {
    for (;;) {
      const f = await this.frame();
      assert.ok(f, 'the connection has ended');
      assert.ok(f.opcode === 1 || f.opcode === 2, `opcode ${f.opcode}: ${f.payload}`);
      if (f.opcode === 2) return f.payload;
      const text = f.payload.toString();
      if (text !== '2') return text;
      this.send('3');
    }
  }

  send(...packets) {
    for (const p of packets)
      this.socket.write(frame(typeof p === 'string' ? 'text' : 'binary', p));
  }

  raw(...buffers) {
    this.socket.write(Buffer.concat(buffers));
  }

  /** Skips data until the server's close frame, and sees the TCP connection end. */
  async closeCode() {
    let code = null;
    for (;;) {
      const f = await this.frame();
      if (!f) return code;
      if (f.opcode === 8) {
        assert.equal(code, null, 'a second close frame');
        code = f.payload.length >= 2 ? f.payload.readUInt16BE(0) : 1005;
        this.socket.write(frame('close', f.payload.subarray(0, 2)));
      } else {
        assert.equal(code, null, 'data after a close frame');
      }
    }
  }

  destroy() {
    this.socket.destroy();
  }
}

/** A WebSocket session. */
export async function openWs(port, path = '/socket.io/', query = '') {
  const ws = await new RawWs(port, `${path}?EIO=4&transport=websocket${query}`).connect();
  assert.match(ws.head, /^HTTP\/1\.1 101 /);
  const open = await ws.next();
  assert.equal(open[0], '0');
  ws.handshake = JSON.parse(open.slice(1));
  return ws;
}

/** A WebSocket session that has joined; its socket id is in ws.id. */
export async function joinWs(port, nsp = '/', auth = '') {
  const ws = await openWs(port);
  await joinNsp(ws, nsp, auth);
  return ws;
}

export async function joinNsp(ws, nsp = '/', auth = '') {
  const prefix = nsp === '/' ? '' : `${nsp},`;
  ws.send(`40${prefix}${auth}`);
  const reply = await ws.next();
  assert.ok(reply.startsWith(`40${prefix}{"sid":"`), reply);
  ws.id = JSON.parse(reply.slice(2 + prefix.length)).sid;
  assert.equal(await ws.next(), `42${prefix}["auth",${auth || '{}'}]`);
}

/** Sends an event with an ack and gives the answer's arguments. */
export async function call(ws, event, ...args) {
  ws.send(`42777${JSON.stringify([event, ...args])}`);
  const answer = await ws.next();
  assert.ok(answer.startsWith('43777['), answer);
  return JSON.parse(answer.slice(5));
}

/** Somebody else's client: says that the server still serves others. */
export async function echoes(ws) {
  const word = randomBytes(6).toString('hex');
  ws.send(`42["message","${word}"]`);
  assert.equal(await ws.next(), `42["message-back","${word}"]`);
}
