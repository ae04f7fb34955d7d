// One client on bare sockets: Engine.IO 3 or 4, polling, WebSocket, or with upgrade; it
// speaks Socket.IO to "/" only, and can leave in any way there is.
import http from 'node:http';
import net from 'node:net';
import { randomBytes } from 'node:crypto';

const SEPARATOR = '\x1e';
const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: 500 });

/** Closes the connections that no request is using. */
export function closeIdle() {
  agent.destroy();
}

/** A client's frame. */
function frame(data, opcode) {
  const n = data.length;
  const head = n < 126 ? Buffer.from([0x80 | opcode, 0x80 | n])
    : n < 65536 ? Buffer.from([0x80 | opcode, 0xfe, n >> 8, n & 255])
      : Buffer.from([0x80 | opcode, 0xff, 0, 0, 0, 0, n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255]);
  const mask = randomBytes(4);
  const body = Buffer.from(data);
  for (let i = 0; i < n; i++) body[i] ^= mask[i & 3];
  return Buffer.concat([head, mask, body]);
}

export class Client {
  /** on: {connected(), event(name, args), ack(id, args), ended(why)} */
  constructor(port, protocol, transport, on) {
    Object.assign(this, { port, protocol, on, upgrades: transport === 'upgrade' });
    this.transport = transport === 'websocket' ? 'websocket' : 'polling';
    this.waiting = []; // packets: text, or Buffer of a binary message
    this.attachments = null; // a header packet and the binary it still waits for
    this.requests = new Set();
    if (this.transport === 'websocket') this.openSocket('');
    else this.poll();
  }

  target() {
    return `/socket.io/?EIO=${this.protocol}&transport=polling&b64=1` +
      (this.sid ? `&sid=${this.sid}` : '');
  }

  end(why) {
    if (this.over) return;
    this.over = true;
    clearInterval(this.heart);
    this.ws?.destroy();
    for (const r of this.requests) r.destroy();
    this.on.ended(why);
  }

  // ---- packets in

  packet(data) {
    if (this.over) return;
    if (typeof data !== 'string') return this.binary(data);
    switch (data[0]) {
    case '0': return this.opened(JSON.parse(data.slice(1)));
    case '1': return this.end('close packet');
    case '2': if (!this.silent) this.write('3'); return;
    case '4': return this.socketPacket(data.slice(1));
    default: // pong, noop
    }
  }

  opened(open) {
    this.sid = open.sid;
    if (this.protocol === 4) this.write('40');
    else this.heart = setInterval(() => this.silent || this.write('2'), open.pingInterval);
    if (this.upgrades) this.openSocket(`&sid=${this.sid}`, true);
  }

  socketPacket(text) {
    const [, type, , count, id, rest] = /^(\d)((\d+)-)?(\d*)(.*)$/s.exec(text);
    const has = count ? { type, count, id, rest, bytes: [] } : null;
    if (has) this.attachments = has;
    else this.whole(type, id, rest, []);
  }

  binary(bytes) {
    const a = this.attachments;
    if (!a) return this.end('binary that nobody announced');
    if (a.bytes.push(bytes) < Number(a.count)) return;
    this.attachments = null;
    this.whole(a.type, a.id, a.rest, a.bytes);
  }

  whole(type, id, rest, bytes) {
    const args = () => JSON.parse(rest, (_, v) => (v?._placeholder ? bytes[v.num].toString('hex') : v));
    switch (type) {
    case '0': return this.on.connected();
    case '1': return this.on.event('(disconnect)', []);
    case '2': case '5': { const [name, ...more] = args(); return this.on.event(name, more); }
    case '3': case '6': return this.on.ack(Number(id), args());
    default: return this.end(`packet ${type}${rest}`);
    }
  }

  // ---- packets out

  emit(id, name, ...args) {
    const bytes = args.filter((a) => Buffer.isBuffer(a));
    let n = 0;
    const list = args.map((a) => (Buffer.isBuffer(a) ? { _placeholder: true, num: n++ } : a));
    this.write(`4${n ? `5${n}-` : '2'}${id ?? ''}${JSON.stringify([name, ...list])}`, ...bytes);
  }

  write(...packets) {
    if (this.over) return;
    this.waiting.push(...packets);
    this.flush();
  }

  flush() {
    if (this.over || this.waiting.length === 0) return;
    if (this.transport === 'websocket') {
      if (!this.ready) return;
      const out = this.waiting.splice(0).map((p) => (typeof p === 'string'
        ? frame(Buffer.from(p), 1)
        : frame(this.protocol === 3 ? Buffer.concat([Buffer.from([4]), p]) : p, 2)));
      this.ws.write(Buffer.concat(out));
    } else if (this.sid && !this.posting && !this.pausing) {
      this.post(this.waiting.splice(0));
    }
  }

  encode(packets) {
    if (this.protocol === 4)
      return packets.map((p) => (typeof p === 'string' ? p : `b${p.toString('base64')}`))
        .join(SEPARATOR);
    return packets.map((p) => (typeof p === 'string' ? p : `b4${p.toString('base64')}`))
      .map((p) => `${p.length}:${p}`).join('');
  }

  decode(text) {
    const list = [];
    if (this.protocol === 4) list.push(...text.split(SEPARATOR));
    for (let at = 0; this.protocol === 3 && at < text.length;) {
      const colon = text.indexOf(':', at);
      const n = Number(text.slice(at, colon));
      list.push(text.slice(colon + 1, colon + 1 + n));
      at = colon + 1 + n;
    }
    const skip = this.protocol === 3 ? 2 : 1;
    return list.map((p) => (p[0] === 'b' ? Buffer.from(p.slice(skip), 'base64') : p));
  }

  // ---- polling

  request(method, body, done) {
    const r = http.request({ agent, host: '127.0.0.1', port: this.port, method,
      path: this.target(),
      headers: body === undefined ? {} : { 'Content-Type': 'text/plain;charset=UTF-8' } }, (res) => {
      const parts = [];
      res.on('data', (d) => parts.push(d));
      res.on('error', () => {});
      res.on('close', () => {
        this.requests.delete(r);
        const text = Buffer.concat(parts).toString();
        if (!res.complete) this.end('cut reply');
        else if (res.statusCode !== 200) this.end(`${method} ${res.statusCode} ${text}`);
        else if (!this.over) done(text);
      });
    });
    r.on('error', (e) => this.end(`${method} ${e.code ?? e.message}`));
    this.requests.add(r);
    r.end(body);
  }

  poll() {
    this.polling = true;
    this.request('GET', undefined, (text) => {
      this.polling = false;
      for (const p of this.decode(text)) this.packet(p);
      if (this.over) return;
      if (this.pausing) this.pause();
      else this.poll();
    });
  }

  post(packets) {
    this.posting = true;
    this.request('POST', this.encode(packets), () => {
      this.posting = false;
      if (this.pausing) this.pause();
      else this.flush();
    });
  }

  // ---- WebSocket

  openSocket(query, probe = false) {
    const ws = net.connect(this.port, '127.0.0.1');
    let input = Buffer.alloc(0);
    let open = false;
    this.ws = ws;
    ws.setNoDelay(true);
    ws.on('error', () => {});
    ws.on('close', () => (probe && this.transport === 'polling' ? this.stay() : this.end('TCP closed')));
    ws.write(`GET /socket.io/?EIO=${this.protocol}&transport=websocket${query} HTTP/1.1\r\n` +
      'Host: x.example.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`);
    ws.on('data', (d) => {
      input = Buffer.concat([input, d]);
      if (!open) {
        const head = input.indexOf('\r\n\r\n');
        if (head < 0) return;
        if (input.toString('latin1', 9, 12) !== '101') return ws.destroy();
        open = true;
        input = input.subarray(head + 4);
        if (probe) ws.write(frame(Buffer.from('2probe'), 1));
        else this.ready = true;
      }
      input = this.frames(input);
    });
  }

  /** Nothing came of the upgrade. */
  stay() {
    const paused = this.pausing && !this.polling;
    this.pausing = false;
    if (paused && !this.over) this.poll();
    this.flush();
  }

  /** Takes whole frames; the rest of the input. */
  frames(b) {
    for (;;) {
      let n = b.length < 2 ? 0 : b[1] & 127;
      let at = 2;
      if (n === 126 && b.length >= 4) [n, at] = [b.readUInt16BE(2), 4];
      else if (n === 127 && b.length >= 10) [n, at] = [Number(b.readBigUInt64BE(2)), 10];
      else if (n > 125) return b;
      if (b.length < 2 || b.length < at + n) return b;
      const opcode = b[0] & 15;
      const data = b.subarray(at, at + n);
      b = b.subarray(at + n);
      if (opcode === 8) this.ws.end();
      else if (opcode === 2) this.packet(Buffer.from(this.protocol === 3 ? data.subarray(1) : data));
      else if (opcode === 1) this.text(data.toString());
    }
  }

  text(text) {
    // Protocol 3: what was queued for polling may come over WebSocket as it was.
    if (text[0] === 'b') return this.packet(Buffer.from(text.slice(2), 'base64'));
    if (text !== '3probe') return this.packet(text);
    this.pausing = true;
    this.pause();
  }

  /** Goes over to the WebSocket once nothing is under way. */
  pause() {
    if (this.polling || this.posting || this.over) return;
    this.ws.write(frame(Buffer.from('5'), 1));
    Object.assign(this, { pausing: false, transport: 'websocket', ready: true, upgraded: true });
    this.flush();
  }

  // ---- ways to leave

  leave() {
    this.write('41', '1');
  }

  /** In the middle of a frame or a request body. */
  cut() {
    if (this.transport === 'websocket') {
      const whole = frame(Buffer.alloc(3000, '4'), 1);
      this.ws.end(whole.subarray(0, 1 + Math.floor(Math.random() * 2000)));
    } else {
      const r = http.request({ agent: false, host: '127.0.0.1', port: this.port, method: 'POST',
        path: this.target(), headers: { 'Content-Length': 3000 } });
      r.on('error', () => {});
      r.write('4'.repeat(1500), () => setImmediate(() => r.destroy()));
    }
    setTimeout(() => this.end('cut'), 20);
  }
}
