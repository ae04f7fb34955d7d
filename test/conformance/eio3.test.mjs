#!/usr/bin/env node
// Engine.IO 3, polling by scripts, and clients of Socket.IO 2: every rule in raw bytes,
// then the JavaScript client of that time.
import vm from 'node:vm';
import ioV2 from 'socket.io-client-v2';
import ioV3 from 'socket.io-client-v3';
import {
  assert, frame, openWs, Polling, RawWs, request, run, SEPARATOR, soon, startServer, test,
} from './lib.mjs';

const ENGINE = '/engine.io/';
const PATH = '/socket.io/';
const engine = await startServer('--raw-engine', '--allow-eio3', '--jsonp');
const quick = await startServer('--raw-engine', '--allow-eio3', '--ping-interval', 300,
  '--ping-timeout', 200);
const sio = await startServer('--allow-eio3', '--jsonp', '--connect-timeout', 300);
const off = await startServer('--raw-engine');

// Lengths as protocol 3 counts them: JavaScript's.
const text = (...packets) => packets.map((p) => `${p.length}:${p}`).join('');

/** The same in bytes; a Buffer is a binary message. */
function binary(...packets) {
  return Buffer.concat(packets.flatMap((p) => {
    const body = typeof p === 'string' ? Buffer.from(p) : Buffer.concat([Buffer.from([4]), p]);
    const digits = [...String(body.length)].map(Number);
    return [Buffer.from([typeof p === 'string' ? 0 : 1, ...digits, 0xff]), body];
  }));
}

function parseText(body) {
  const packets = [];
  while (body) {
    const [, digits] = /^([1-9][0-9]*):/.exec(body) ?? assert.fail(body);
    const at = digits.length + 1;
    const end = at + Number(digits);
    assert.ok(body.length >= end, body);
    packets.push(body.slice(at, end));
    body = body.slice(end);
  }
  return packets;
}

function parseBinary(bytes) {
  const packets = [];
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(0xff, at);
    const size = Number([...bytes.subarray(at + 1, end)].join(''));
    const body = bytes.subarray(end + 1, end + 1 + size);
    assert.equal(body.length, size);
    if (bytes[at] === 0) {
      packets.push(body.toString());
    } else {
      assert.equal(bytes[at], 1);
      assert.equal(body[0], 4);
      packets.push(body.subarray(1));
    }
    at = end + 1 + size;
  }
  return packets;
}

class Polling3 extends Polling {
  constructor(port, path = ENGINE, query = '') {
    super(port, path);
    this.query = query;
  }

  url() {
    const sid = this.sid ? `&sid=${this.sid}` : '';
    return `${this.path}?EIO=3&transport=polling${this.query}${sid}`;
  }

  read(res) {
    assert.equal(res.status, 200, res.body);
    assert.equal(res.headers['cache-control'], 'no-store');
    if (/octet-stream/.test(res.headers['content-type'])) return parseBinary(res.bytes);
    assert.equal(res.headers['content-type'], 'text/plain; charset=UTF-8');
    return parseText(res.body);
  }

  async open() {
    const [packet, ...rest] = this.read(await this.get());
    assert.equal(packet[0], '0');
    assert.deepEqual(rest, []);
    this.handshake = JSON.parse(packet.slice(1));
    this.sid = this.handshake.sid;
    return this;
  }

  async send(...packets) {
    const res = await this.post(text(...packets));
    assert.equal(res.status, 200, res.body);
    assert.equal(res.body, 'ok');
  }

  async next() {
    while (this.queue.length === 0) this.queue.push(...this.read(await this.get()));
    return this.queue.shift();
  }
}

/** Polling by scripts; the payloads are protocol 3's or 4's. */
class Scripts extends Polling3 {
  constructor(port, path, index = 7) {
    super(port, path, `&j=${index}`);
    this.index = index;
  }

  read(res) {
    assert.equal(res.status, 200, res.body);
    let payload;
    const ___eio = { [this.index]: (s) => (payload = s) };
    vm.runInNewContext(res.body, { ___eio });
    assert.equal(typeof payload, 'string');
    this.script = res.body;
    return parseText(payload);
  }

  post(payload) {
    const escaped = payload.replace(/\\n/g, '\\\n').replace(/\n/g, '\\n');
    return request(this.port, 'POST', this.url(), {
      body: new URLSearchParams({ d: escaped }).toString(),
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    });
  }
}

const open3 = (query) => new Polling3(engine.port, ENGINE, query).open();
const ws3 = (port, path = ENGINE, query = '') =>
  new RawWs(port, `${path}?EIO=3&transport=websocket${query}`).connect();

async function openWs3(port, path, query) {
  const ws = await ws3(port, path, query);
  assert.match(ws.head, /^HTTP\/1\.1 101 /);
  const open = await ws.next();
  assert.equal(open[0], '0');
  ws.handshake = JSON.parse(open.slice(1));
  ws.next = RawWs.prototype.nextRaw;
  return ws;
}

/** The next data frame as it is: in protocol 3 nothing is answered on the way. */
RawWs.prototype.nextRaw = async function nextRaw() {
  const f = await this.frame();
  assert.ok(f, 'the connection has ended');
  assert.ok(f.opcode === 1 || f.opcode === 2, `opcode ${f.opcode}: ${f.payload}`);
  return f.opcode === 2 ? f.payload : f.payload.toString();
};

// Which protocol

test('it is off unless asked for', async () => {
  const refusal = '{"code":5,"message":"Unsupported protocol version"}';
  for (const query of ['EIO=3', 'EIO=2', 'x=1', 'EIO=']) {
    const res = await request(off.port, 'GET', `${ENGINE}?${query}&transport=polling`);
    assert.equal(res.status, 400);
    assert.equal(res.body, refusal);
  }
  const ws = await ws3(off.port);
  assert.match(ws.head, /^HTTP\/1\.1 400 /);
  const j = await request(off.port, 'GET', `${ENGINE}?EIO=4&transport=polling&j=0`);
  assert.equal(j.body[0], '0');
});

test('what is not 4 is 3', async () => {
  for (const query of ['EIO=3', 'EIO=2', 'EIO=44', 'EIO=', 'x=1', 'EIO=4&EIO=3']) {
    const res = await request(engine.port, 'GET', `${ENGINE}?${query}&transport=polling`);
    assert.match(res.body, /^[0-9]+:0\{/, query);
  }
  const s = await new Polling(engine.port, ENGINE).open();
  await s.send('4four');
  assert.equal(await s.next(), '4four');
});

test('the open packet says the same, in a payload with its length', async () => {
  const { handshake } = await open3();
  assert.deepEqual(Object.keys(handshake).sort(),
    ['maxPayload', 'pingInterval', 'pingTimeout', 'sid', 'upgrades']);
  assert.match(handshake.sid, /^[A-Za-z0-9_-]{20}$/);
  assert.deepEqual(handshake.upgrades, ['websocket']);
  const ws = await openWs3(engine.port);
  assert.deepEqual(ws.handshake.upgrades, []);
  ws.destroy();
});

// Payloads

test('lengths are in UTF-16 units', async () => {
  const s = await open3();
  for (const word of ['hello', '', '\u20ac', '\u{1f600}', 'a\u{1f600}\u0000\u001eb', '\u2028'])
    await s.send(`4${word}`);
  for (const word of ['hello', '', '\u20ac', '\u{1f600}', 'a\u{1f600}\u0000\u001eb', '\u2028'])
    assert.equal(await s.next(), `4${word}`);
});

test('a payload has several packets, answered in order', async () => {
  const s = await open3();
  const words = Array.from({ length: 40 }, (_, i) => `4word ${i}`);
  await s.send(...words);
  for (const word of words) assert.equal(await s.next(), word);
});

test('bytes come in a binary payload', async () => {
  const s = await open3();
  const res = await s.post(text('4hello', 'b4AQIDBA=='));
  assert.equal(res.body, 'ok');
  const poll = await s.get();
  assert.equal(poll.headers['content-type'], 'application/octet-stream');
  assert.deepEqual(poll.bytes, Buffer.from(
    [0, 6, 255, 52, 104, 101, 108, 108, 111, 1, 5, 255, 4, 1, 2, 3, 4]));
});

test('a binary payload may be sent, and counts bytes', async () => {
  const s = await open3();
  const large = Buffer.alloc(100000, 0xff);
  const sent = ['4\u20ac\u{1f600}', Buffer.from([1, 2]), Buffer.alloc(0), large, 'b4AQID'];
  const res = await s.post(binary(...sent), { 'Content-Type': 'application/octet-stream' });
  assert.equal(res.body, 'ok');
  assert.equal(await s.next(), '4\u20ac\u{1f600}');
  assert.deepEqual(await s.next(), Buffer.from([1, 2]));
  assert.deepEqual(await s.next(), Buffer.alloc(0));
  assert.deepEqual(await s.next(), large);
  assert.deepEqual(await s.next(), Buffer.from([1, 2, 3]));
});

test('with b64 bytes are text', async () => {
  const s = await open3('&b64=1');
  await s.send('4hello', 'b4AQIDBA==', '4x');
  const poll = await s.get();
  assert.equal(poll.body, '6:4hello10:b4AQIDBA==2:4x');
  assert.equal(poll.headers['content-type'], 'text/plain; charset=UTF-8');
  const ws = await openWs3(engine.port, ENGINE, '&b64=1');
  ws.send('b4AQIDBA==', Buffer.from([4, 9]));
  assert.equal(await ws.next(), 'b4AQIDBA==');
  assert.equal(await ws.next(), 'b4CQ==');
  ws.destroy();
});

test('a bad payload ends the session', async () => {
  const bad = ['abc', '', ':', '1', '1:', '0:', '01:2', '-1:2', '1:2x', '2:2', '1:7', '2:bx',
    '3:b3A', '5:b4A==', '2:4\u{1f600}', '99999999999999999999:4', '1:0', '1:3'];
  for (const body of bad) {
    const s = await open3();
    assert.equal((await s.post(body)).status, 400, body);
    await s.expectGone();
  }
  for (const bytes of [[], [0], [0, 1, 255], [0, 0, 255], [2, 1, 255, 52], [0, 10, 255, 52],
    [1, 1, 255, 3], [0, 2, 255, 52, 0xc3], [0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 255, 52]]) {
    const s = await open3();
    const type = { 'Content-Type': 'application/octet-stream' };
    assert.equal((await s.post(Buffer.from(bytes), type)).status, 400, String(bytes));
    await s.expectGone();
  }
});

test('packets before a bad one are taken', async () => {
  const s = await open3();
  const poll = s.get();
  assert.equal((await s.post('3:4ok7:4')).status, 400);
  const first = await poll;
  assert.match(first.body, /^(3:4ok|1:1)$/);
  await s.expectGone();
});

test('a second poll ends the session, and the first is told', async () => {
  const s = await open3();
  const polls = await Promise.all([s.get(), s.get()]);
  assert.deepEqual(polls.map((p) => p.status).sort(), [200, 400]);
  assert.equal(polls.find((p) => p.status === 200).body, '1:1');
  await s.expectGone();
});

test('a close packet ends the session, and the poll with a noop', async () => {
  const s = await open3();
  const poll = s.get();
  await s.send('1');
  assert.equal((await poll).body, '1:6');
  await s.expectGone();
});

// WebSocket

test('the open packet comes later than the 101, and first', async () => {
  const ws = await ws3(engine.port);
  ws.send('4early', '2');
  const got = [await ws.frame(), await ws.frame(), await ws.frame()].map((f) => `${f.payload}`);
  assert.ok(got.some((p) => p.startsWith('0{')));
  assert.ok(got.indexOf('4early') > got.findIndex((p) => p.startsWith('0{')));
  assert.ok(got.includes('3'));
  ws.destroy();
});

test('bytes have their type in front', async () => {
  const ws = await openWs3(engine.port);
  const large = Buffer.concat([Buffer.from([4]), Buffer.alloc(70000, 5)]);
  ws.send('4text', Buffer.from([4, 1, 2]), Buffer.from([4]), large, 'b4AQID');
  assert.equal(await ws.next(), '4text');
  assert.deepEqual(await ws.next(), Buffer.from([4, 1, 2]));
  assert.deepEqual(await ws.next(), Buffer.from([4]));
  assert.deepEqual(await ws.next(), large);
  assert.deepEqual(await ws.next(), Buffer.from([4, 1, 2, 3]));
  ws.destroy();
});

test('a bad frame ends the session', async () => {
  for (const bad of ['abc', '', 'b', 'bAQID', 'b4A', '7', '0', '3', '6', Buffer.alloc(0),
    Buffer.from([3, 1]), Buffer.from('4a')]) {
    const ws = await openWs3(engine.port);
    ws.send(bad);
    assert.equal(await ws.closeCode(), 1002, String(bad));
  }
});

// Heartbeat

test('the client pings', async () => {
  const s = await new Polling3(quick.port).open();
  for (let i = 0; i < 3; i++) {
    await s.send('2');
    assert.equal(await s.next(), '3');
  }
  await s.send('4a', '2', '4b', '2');
  for (const packet of ['4a', '3', '4b', '3']) assert.equal(await s.next(), packet);
  const poll = s.get();
  await s.send('2');
  assert.equal((await poll).body, '1:3');
  const ws = await openWs3(quick.port);
  for (let i = 0; i < 3; i++) {
    ws.send('2');
    assert.equal(await ws.next(), '3');
  }
  ws.destroy();
});

test('without a ping it ends, and nothing else keeps it alive', async () => {
  const ws = await openWs3(quick.port);
  const chatter = setInterval(() => ws.send('4x'), 50);
  assert.equal(await ws.closeCode(), 1011);
  clearInterval(chatter);
  const s = await new Polling3(quick.port).open();
  assert.equal((await s.get()).body, '1:1');
  await s.expectGone();
});

// Upgrade

test('a session upgrades, and nothing is lost', async () => {
  const s = await open3('&b64=1');
  await s.send('4one', 'b4AQ==');
  const ws = await ws3(engine.port, ENGINE, `&sid=${s.sid}`);
  ws.next = RawWs.prototype.nextRaw;
  ws.send('2probe');
  assert.equal(await ws.next(), '3probe');
  await s.send('2');
  ws.send('5');
  // What was queued for polling keeps its shape; either is known to every client.
  for (const packet of ['4one', 'b4AQ==', '3']) assert.equal(await ws.next(), packet);
  ws.send('4two', Buffer.from([4, 7]), '2');
  assert.equal(await ws.next(), '4two');
  assert.deepEqual(await ws.next(), Buffer.from([4, 7]));
  assert.equal(await ws.next(), '3');
  assert.equal((await s.get()).status, 400);
  const other = await ws3(engine.port, ENGINE, `&sid=${s.sid}`);
  await other.closeCode();
  ws.send('4still');
  assert.equal(await ws.next(), '4still');
  ws.destroy();
});

test('a poll is let go for the upgrade', async () => {
  const s = await open3();
  const poll = s.get();
  const ws = await ws3(engine.port, ENGINE, `&sid=${s.sid}`);
  ws.send('2probe');
  assert.equal(await ws.nextRaw(), '3probe');
  assert.equal((await poll).body, '1:6');
  ws.raw(frame('text', 'bad'));
  await ws.closeCode();
  await s.send('4back');
  assert.equal(await s.next(), '4back');
});

// Scripts

test('a script calls the page back', async () => {
  const s = await new Scripts(engine.port, ENGINE, 12).open();
  assert.match(s.script, /^___eio\[12\]\("[0-9]+:0\{\\"sid\\":\\"/);
  const words = ['4hello', '4"\n\\n\\\\n\r\u0000\u001e', '4\u2028\u2029\u{1f600}', '4</script>',
    'b4AQID', '4+ &=%'];
  await s.send(...words);
  for (const word of words) assert.equal(await s.next(), word);
  assert.ok(!s.script.includes('</') && !/[\u2028\u2029]/.test(s.script), s.script);
  await s.send('2');
  assert.equal(await s.next(), '3');
  await s.send('1');
  await s.expectGone();
});

test('a callback has to be an index', async () => {
  for (const j of ['x', '-1', '1.5', '', '%27)', '1e3', '9999999999']) {
    const res = await request(engine.port, 'GET', `${ENGINE}?EIO=3&transport=polling&j=${j}`);
    assert.equal(res.status, 400, j);
    assert.equal(res.body, '{"code":3,"message":"Bad request"}');
  }
});

test('a form without a payload ends the session', async () => {
  for (const body of ['', 'x=1', 'd', 'd=', 'd=%ff', 'd=abc', '2:4a']) {
    const s = await new Scripts(engine.port, ENGINE).open();
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    assert.equal((await request(engine.port, 'POST', s.url(), { body, headers })).status, 400, body);
    await s.expectGone();
  }
});

test('scripts carry protocol 4 too', async () => {
  const query = 'EIO=4&transport=polling&j=3';
  let payload;
  const context = { ___eio: { 3: (s) => (payload = s) } };
  vm.runInNewContext((await request(engine.port, 'GET', `${ENGINE}?${query}`)).body, context);
  const { sid } = JSON.parse(payload.slice(1));
  const url = `${ENGINE}?${query}&sid=${sid}`;
  const body = new URLSearchParams({ d: `4a${SEPARATOR}bAQID` }).toString();
  assert.equal((await request(engine.port, 'POST', url, { body })).body, 'ok');
  vm.runInNewContext((await request(engine.port, 'GET', url)).body, context);
  assert.equal(payload, `4a${SEPARATOR}bAQID`);
});

// Socket.IO 2, in packets

test('the server joins the first namespace by itself', async () => {
  const s = await new Polling3(sio.port, PATH).open();
  assert.equal(await s.next(), '40');
  assert.equal(await s.next(), '42["auth",{}]');
  await s.send('421["whoami"]');
  const answer = await s.next();
  assert.equal(JSON.parse(answer.slice(3))[0].id, s.sid);
  const ws = await openWs3(sio.port, PATH);
  assert.equal(await ws.next(), '40');
  assert.equal(await ws.next(), '42["auth",{}]');
  ws.destroy();
});

test('a namespace is asked for with a query', async () => {
  const ws = await openWs3(sio.port, PATH);
  await ws.next();
  await ws.next();
  ws.send('40/custom?token=a%20b&x=%E2%82%AC,');
  assert.equal(await ws.next(), '40/custom,');
  assert.equal(await ws.next(), '42/custom,["auth",{"token":"a b","x":"\u20ac"}]');
  ws.send('42/custom,7["whoami"]');
  assert.equal(JSON.parse((await ws.next()).slice(11))[0].id, `/custom#${ws.handshake.sid}`);
  ws.send('42/custom?token=1,["message",1]', '41/custom,', '42["message",2]');
  assert.equal(await ws.next(), '42/custom,["message-back",1]');
  assert.equal(await ws.next(), '42["message-back",2]');
  ws.send('40/custom');
  assert.equal(await ws.next(), '40/custom,');
  ws.destroy();
});

test('refusals are bare', async () => {
  const ws = await openWs3(sio.port, PATH);
  await ws.next();
  await ws.next();
  ws.send('40/nowhere?a=1,');
  assert.equal(await ws.next(), '44/nowhere,"Invalid namespace"');
  ws.send('40/restricted,');
  assert.equal(await ws.next(), '44/restricted,{"code":"E_AUTH"}');
  ws.send('40/restricted?token=secret,');
  assert.equal(await ws.next(), '40/restricted,');
  ws.destroy();
});

test('binary packets are the same', async () => {
  const ws = await openWs3(sio.port, PATH);
  await ws.next();
  await ws.next();
  ws.send('451-["message",{"_placeholder":true,"num":0}]', Buffer.from([4, 1, 2, 3]));
  assert.equal(await ws.next(), '451-["message-back",{"_placeholder":true,"num":0}]');
  assert.deepEqual(await ws.next(), Buffer.from([4, 1, 2, 3]));
  ws.send('451-["message",{"_placeholder":true,"num":0}]', Buffer.from([1, 2, 3]));
  assert.equal(await ws.closeCode(), 1002);
});

test('a violation ends the connection', async () => {
  for (const bad of ['40', '42/custom,["x"]', '44"x"', '42["connect"]', '40/x?a=%ff,', '4x']) {
    const ws = await openWs3(sio.port, PATH);
    await ws.next();
    await ws.next();
    ws.send(bad);
    assert.equal(await ws.closeCode(), 1000, bad);
  }
});

test('one message goes to clients of both protocols, in every form', async () => {
  const v4 = await openWs(sio.port, PATH);
  v4.send('40');
  await v4.next();
  await v4.next();
  const ws = await openWs3(sio.port, PATH);
  const b64 = await openWs3(sio.port, PATH, '&b64=1');
  const polling = await new Polling3(sio.port, PATH).open();
  const text64 = await new Polling3(sio.port, PATH, '&b64=1').open();
  const script = await new Scripts(sio.port, PATH).open();
  for (const c of [ws, b64, polling, text64, script]) {
    assert.equal(await c.next(), '40');
    assert.equal(await c.next(), '42["auth",{}]');
  }
  const header = '["mixed",{"_placeholder":true,"num":0}]';
  v4.send('451-["broadcast","mixed",{"_placeholder":true,"num":0}]', Buffer.from([1, 2, 3]));
  for (const c of [ws, b64, polling, text64, script])
    assert.equal(await c.next(), `451-${header}`);
  assert.deepEqual(await ws.next(), Buffer.from([4, 1, 2, 3]));
  assert.deepEqual(await polling.next(), Buffer.from([1, 2, 3]));
  for (const c of [b64, text64, script]) assert.equal(await c.next(), 'b4AQID');
  ws.send('451-["broadcast","mixed",{"_placeholder":true,"num":0}]', Buffer.from([4, 9]));
  assert.equal(await v4.next(), `451-${header}`);
  assert.deepEqual(await v4.next(), Buffer.from([9]));
  for (const c of [v4, ws, b64]) c.destroy();
});

// The client itself

/** What of a browser's document polling by scripts needs. */
function makeDocument() {
  const node = (extra = {}) => ({
    style: {},
    setAttribute() {},
    appendChild(child) {
      child.parentNode = this;
      child.onadd?.();
    },
    removeChild(child) {
      child.parentNode = null;
    },
    ...extra,
  });
  const script = () => node({
    async onadd() {
      try {
        vm.runInThisContext(await (await fetch(this.src)).text());
      } catch (error) {
        this.onerror?.(error);
      }
    },
  });
  const form = () => node({
    appendChild(child) {
      child.parentNode = this;
      if (child.isArea) this.area = child;
      else this.frame = child;
    },
    async submit() {
      const d = this.area.value.replace(/\r\n|\r|\n/g, '\r\n');
      const { frame: target } = this;
      await fetch(this.action, { method: 'POST', body: new URLSearchParams({ d }) });
      if (globalThis.document === self) target.onload(); // else the page has been left
    },
  });
  const self = {
    body: node(),
    head: node(),
    getElementsByTagName: () => [],
    createElement(name) {
      if (name === 'script') return script();
      if (name === 'form') return form();
      if (name === 'textarea') return node({ isArea: true });
      if (name === 'iframe') return node();
      throw new Error(`no element ${name}`);
    },
  };
  return self;
}

const WAYS = {
  polling: { transports: ['polling'] },
  websocket: { transports: ['websocket'] },
  upgrade: {},
  'polling, base64': { transports: ['polling'], forceBase64: true },
  'websocket, base64': { transports: ['websocket'], forceBase64: true },
  scripts: { transports: ['polling'], forceJSONP: true },
  'scripts, then an upgrade': { forceJSONP: true },
};

const event = (socket, name) => soon(new Promise((resolve, reject) => {
  socket.once(name, (...args) => resolve(args));
  if (name !== 'error') socket.once('error', (e) => reject(new Error(String(e))));
}), name, 10000);

const ask = (socket, ...args) =>
  soon(new Promise((resolve) => socket.emit(...args, (...answer) => resolve(answer))), args[0]);

async function echoes(socket) {
  const words = ['\u20ac\u{1f600}\u2028"\\\n\\n</script>', { a: [1, null] },
    Buffer.from([0, 1, 255]), Buffer.alloc(50000, 200)];
  const back = event(socket, 'message-back');
  socket.emit('message', ...words);
  const got = (await back).map((x) => (x instanceof ArrayBuffer ? Buffer.from(x) : x));
  assert.deepEqual(got, words);
  assert.deepEqual((await ask(socket, 'message-with-ack', 1, words[2])).map(
    (x) => (x instanceof ArrayBuffer ? Buffer.from(x) : x)), [1, words[2]]);
}

async function withClient(io, way, fn) {
  const options = { ...WAYS[way], forceNew: true, reconnection: false };
  if (options.forceJSONP) globalThis.document = makeDocument();
  const sockets = [];
  const connect = (path, extra) => {
    const socket = io(`http://127.0.0.1:${sio.port}${path}`, { ...options, ...extra });
    sockets.push(socket);
    return socket;
  };
  try {
    await fn(connect);
  } finally {
    for (const socket of sockets) socket.close();
    delete globalThis.document;
  }
}

for (const way of Object.keys(WAYS)) {
  test(`the client of Socket.IO 2 over ${way}`, () => withClient(ioV2, way, async (connect) => {
    const socket = connect('/');
    const greeting = event(socket, 'auth');
    await event(socket, 'connect');
    assert.deepEqual(await greeting, [{}]);
    await echoes(socket);
    const [who] = await ask(socket, 'whoami');
    assert.equal(who.id, socket.id);
    if (!WAYS[way].transports) {
      if (socket.io.engine.transport.name === 'polling') await event(socket.io.engine, 'upgrade');
      await echoes(socket);
      assert.equal((await ask(socket, 'whoami'))[0].transport, 'websocket');
    }
  }));

  test(`its namespaces over ${way}`, () => withClient(ioV2, way, async (connect) => {
    const socket = connect('/custom', { query: { token: 'a b&c' } });
    assert.deepEqual(await event(socket, 'auth'), [{ token: 'a b&c' }]);
    await echoes(socket);
    assert.equal((await ask(socket, 'whoami'))[0].id, socket.id);
    const refused = connect('/restricted');
    assert.deepEqual(await event(refused, 'error'), [{ code: 'E_AUTH' }]);
    const unknown = connect('/nowhere');
    assert.deepEqual(await event(unknown, 'error'), ['Invalid namespace']);
    const gone = event(socket, 'disconnect');
    socket.emit('kick');
    assert.deepEqual(await gone, ['io server disconnect']);
  }));
}

test('the client of Socket.IO 3 over scripts', () => withClient(ioV3, 'scripts', async (connect) => {
  const socket = connect('/', { auth: { token: 1 } });
  assert.deepEqual(await event(socket, 'auth'), [{ token: 1 }]);
  await echoes(socket);
}));

await run();
