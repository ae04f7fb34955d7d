#!/usr/bin/env node
// Engine.IO 4: requests, handshake, polling, heartbeat, upgrade.
import net from 'node:net';
import {
  assert, frame, openWs, Polling, RawWs, rawExchange, request, run, SEPARATOR, soon,
  startServer, test,
} from './lib.mjs';

const PATH = '/engine.io/';
const calm = await startServer('--raw-engine', '--upgrade-timeout', 500);
const quick = await startServer('--raw-engine', '--ping-interval', 300, '--ping-timeout', 200);
const { port } = calm;
const witness = await openWs(port, PATH);

const open = () => new Polling(port, PATH).open();
const get = (query, headers) => request(port, 'GET', `${PATH}?${query}`, { headers });

async function lives(session) {
  await session.send('4alive');
  assert.equal(await session.next(), '4alive');
}

const REFUSALS = {
  0: 'Transport unknown',
  1: 'Session ID unknown',
  2: 'Bad handshake method',
  3: 'Bad request',
  4: 'Forbidden',
  5: 'Unsupported protocol version',
};

function expectRefusal(res, code, status = 400) {
  assert.equal(res.status, status, res.body);
  assert.equal(res.body, JSON.stringify({ code, message: REFUSALS[code] }));
  assert.match(res.headers['content-type'], /^application\/json/);
}

// Requests

test('the first check that fails answers', async () => {
  const { sid } = await open();
  expectRefusal(await get('EIO=4'), 0);
  expectRefusal(await get('EIO=4&transport=abc'), 0);
  expectRefusal(await get('EIO=4&transport=Polling'), 0);
  expectRefusal(await get('EIO=4&transport='), 0);
  expectRefusal(await get('EIO=3&transport=abc&sid=x'), 0);
  expectRefusal(await get('EIO=4&transport=polling&sid=unknown'), 1);
  expectRefusal(await get('EIO=3&transport=polling&sid=unknown'), 1);
  expectRefusal(await request(port, 'POST', `${PATH}?EIO=4&transport=polling&sid=unknown`,
    { body: '4x' }), 1);
  expectRefusal(await request(port, 'POST', `${PATH}?EIO=4&transport=polling`, { body: '4x' }), 2);
  expectRefusal(await request(port, 'PUT', `${PATH}?EIO=4&transport=polling`), 2);
  expectRefusal(await get('EIO=4&transport=websocket'), 3);
  expectRefusal(await get(`EIO=4&transport=websocket&sid=${sid}`), 3);
  expectRefusal(await get('EIO=3&transport=polling'), 5);
  expectRefusal(await get('transport=polling'), 5);
  expectRefusal(await get('EIO=44&transport=polling'), 5);
});

test('the query is split, decoded, and a later duplicate wins', async () => {
  assert.equal((await get('t=x&transport=%70olling&b64=1&EIO=4&%zz=%zz&=&&a')).status, 200);
  assert.equal((await get('EIO=3&transport=abc&transport=polling&EIO=4')).status, 200);
  assert.equal((await get('EIO=4&transport=polling&sid=')).status, 200);
  expectRefusal(await get('EIO=4&transport=polling&EIO=3'), 5);
  for (const bad of ['%', '%f', '%00', '%c3%28', '+', '&'])
    expectRefusal(await get(`EIO=4&transport=${bad}`), 0);
});

test('the admission hook refuses with 403', async () => {
  const sio = await startServer();
  const res = await request(sio.port, 'GET', '/socket.io/?EIO=4&transport=polling&deny=1');
  expectRefusal(res, 4, 403);
  const ws = await new RawWs(sio.port, '/socket.io/?EIO=4&transport=websocket&deny=1').connect();
  assert.match(ws.head, /^HTTP\/1\.1 403 /);
});

test('another path is not ours', async () => {
  for (const path of ['/', '/engine.iox/', '/engine.io', '/x/engine.io/', '/ENGINE.IO/'])
    assert.equal((await request(port, 'GET', `${path}?EIO=4&transport=polling`)).status, 404, path);
  assert.equal((await request(port, 'GET', `${PATH}x?EIO=4&transport=polling`)).status, 200);
});

test('a method that polling does not have is refused and the session lives', async () => {
  const s = await open();
  for (const method of ['PUT', 'DELETE', 'PATCH'])
    assert.equal((await request(port, method, s.url())).status, 405);
  await lives(s);
});

test('an upgrade that is refused is never a 101', async () => {
  for (const query of ['EIO=3&transport=websocket', 'EIO=4&transport=abc', 'transport=websocket',
    'EIO=4&transport=websocket&sid=unknown', 'EIO=4&transport=polling']) {
    const ws = await new RawWs(port, `${PATH}?${query}`).connect();
    assert.match(ws.head, /^HTTP\/1\.1 400 /, query);
    assert.match(ws.head, /connection: close/i);
  }
});

test('the WebSocket handshake is checked', async () => {
  const target = `${PATH}?EIO=4&transport=websocket`;
  const good = [{ Upgrade: 'WebSocket' }, { Connection: 'keep-alive, Upgrade' },
    { Connection: 'upgrade' }, { 'Sec-WebSocket-Extensions': 'permessage-deflate' }];
  for (const headers of good) {
    const ws = await new RawWs(port, target).connect(undefined, headers);
    assert.match(ws.head, /^HTTP\/1\.1 101 /, JSON.stringify(headers));
    assert.match(ws.head, /upgrade: websocket/i);
    assert.doesNotMatch(ws.head, /sec-websocket-(extensions|protocol)/i);
    ws.destroy();
  }
  const bad = [{ 'Sec-WebSocket-Key': 'short' }, { 'Sec-WebSocket-Key': '!'.repeat(24) },
    { 'Sec-WebSocket-Version': '8' }, { 'Sec-WebSocket-Version': '' }];
  for (const headers of bad) {
    const ws = await new RawWs(port, target).connect(undefined, headers);
    assert.match(ws.head, /^HTTP\/1\.1 4\d\d /, JSON.stringify(headers));
    ws.destroy();
  }
});

test('bytes behind the WebSocket request are kept', async () => {
  const ws = await new RawWs(port, `${PATH}?EIO=4&transport=websocket`)
    .connect(Buffer.concat([frame('text', '4early'), frame('binary', 'b')]));
  assert.equal((await ws.next())[0], '0');
  assert.equal(await ws.next(), '4early');
  assert.deepEqual(await ws.next(), Buffer.from('b'));
  ws.destroy();
});

test('cross-origin requests are answered, errors included', async () => {
  const headers = { Origin: 'http://viewer.example.test' };
  const ok = await get('EIO=4&transport=polling', headers);
  const bad = await get('EIO=4&transport=abc', headers);
  for (const res of [ok, bad])
    assert.ok(['*', headers.Origin].includes(res.headers['access-control-allow-origin']));
  for (const query of ['EIO=4&transport=polling', 'transport=abc', 'sid=unknown']) {
    const res = await request(port, 'OPTIONS', `${PATH}?${query}`, {
      headers: { ...headers, 'Access-Control-Request-Method': 'POST',
        'Access-Control-Request-Headers': 'content-type' } });
    assert.ok(res.status === 204 || res.status === 200);
    assert.ok(res.headers['access-control-allow-origin']);
    assert.match(res.headers['access-control-allow-headers'] ?? '', /content-type/i);
  }
});

test('requests are kept alive, pipelined and taken in pieces', async () => {
  const s = await open();
  const socket = net.connect(port, '127.0.0.1');
  let got = '';
  socket.on('data', (d) => (got += d));
  const until = (re) => soon(new Promise((resolve) => {
    const look = () => (re.test(got) ? resolve() : socket.once('data', look));
    look();
  }), String(re));
  const post = (body) => `POST ${s.url()} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}` +
    `\r\n\r\n${body}`;
  socket.write(post('4a') + post('4b') + `GET ${s.url()} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await until(/ok[^]*ok[^]*4a\x1e4b/);
  got = '';
  for (const byte of post('4c')) {
    socket.write(byte);
    await new Promise(setImmediate);
  }
  await until(/ok$/);
  got = '';
  socket.write(`POST ${s.url()} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n` +
    'Expect: 100-continue\r\n\r\n');
  await until(/^HTTP\/1\.1 100 /);
  socket.write('1\r\n4\r\n1;x=y\r\nd\r\n0\r\n\r\n');
  await until(/ok$/);
  assert.equal(await s.next(), '4c');
  assert.equal(await s.next(), '4d');
  socket.destroy();
});

test('what HTTP forbids is refused and nobody else notices', async () => {
  const head = `POST ${PATH}?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n`;
  const bad = [
    `${head}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `${head}Content-Length: 2\r\nContent-Length: 3\r\n\r\n4xx`,
    `${head}Content-Length: 2x\r\n\r\n4x`, `${head}Content-Length: -1\r\n\r\n`,
    `GET ${PATH}?${'x'.repeat(20000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET ${PATH} HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(40000)}\r\n\r\n`,
    'rubbish\r\n\r\n', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03rubbish rubbish\r\n\r\n',
  ];
  for (const bytes of bad) {
    const answer = await rawExchange(port, bytes);
    assert.match(answer, /^HTTP\/1\.1 4\d\d /, bytes.slice(0, 80));
  }
  witness.send('4still');
  assert.equal(await witness.next(), '4still');
});

// Handshake

test('the open packet says what the session is', async () => {
  const s = await open();
  assert.deepEqual(Object.keys(s.handshake).sort(),
    ['maxPayload', 'pingInterval', 'pingTimeout', 'sid', 'upgrades']);
  assert.match(s.sid, /^[\w-]{20}$/);
  assert.deepEqual(s.handshake.upgrades, ['websocket']);
  assert.equal(s.handshake.pingInterval, 25000);
  assert.equal(s.handshake.pingTimeout, 20000);
  assert.equal(s.handshake.maxPayload, 1000000);
  const ws = await openWs(port, PATH);
  assert.deepEqual(ws.handshake.upgrades, []);
  assert.notEqual(ws.handshake.sid, s.sid);
  ws.destroy();
});

test('polling replies have their types and are not stored', async () => {
  const s = await open();
  const posted = await s.post('4a');
  assert.match(posted.headers['content-type'], /^text\/html/);
  assert.equal(posted.body, 'ok');
  const res = await s.get();
  assert.match(res.headers['content-type'], /^text\/plain; ?charset=utf-8$/i);
  assert.equal(res.headers['cache-control'], 'no-store');
  assert.equal(res.body, '4a');
});

// Packets and polling

test('text and binary come back as they were sent', async () => {
  const s = await open();
  await s.send('4hello', '4', '4é\u2028', 'bAQIDBA==', 'b', '4last');
  const got = [];
  for (let i = 0; i < 6; i++) got.push(await s.next());
  assert.deepEqual(got, ['4hello', '4', '4é\u2028', 'bAQIDBA==', 'b', '4last']);
});

test('a reply holds at most 16 packets, in order', async () => {
  const s = await open();
  await s.send(...Array.from({ length: 40 }, (_, i) => `4${i}`));
  const sizes = [];
  for (let n = 0; n < 40;) {
    const packets = (await s.get()).body.split(SEPARATOR);
    for (const p of packets) assert.equal(p, `4${n++}`);
    sizes.push(packets.length);
  }
  assert.deepEqual(sizes, [16, 16, 8]);
});

test('a bad packet ends the session; those before it were taken', async () => {
  const bad = ['', 'x', '7', 'abc', '4ok\x1e', '4ok\x1e\x1e4x', '\x1e', 'b!', 'bA', 'bAQIDBA', '0{}',
    '2', '6', Buffer.from([0x34, 0xff]), Buffer.from([0x34, 0xed, 0xa0, 0x80])];
  for (const body of bad) {
    const s = await open();
    const waiting = s.get();
    const res = await s.post(body);
    assert.ok([200, 400].includes(res.status), `${JSON.stringify(body)}: ${res.status}`);
    await waiting;
    await s.expectGone();
  }
  witness.send('4still');
  assert.equal(await witness.next(), '4still');
});

test('a second poll ends both and the session', async () => {
  const s = await open();
  const first = s.get();
  await new Promise((resolve) => setImmediate(resolve));
  // Which of two requests comes first is the kernel's choice: one waits, one is refused.
  const [a, b] = await Promise.all([first, s.get()]);
  assert.deepEqual([a.status, b.status].sort(), [200, 400]);
  assert.equal((a.status === 200 ? a : b).body, '1');
  await s.expectGone();
});

test('a second POST while one is read is refused and ends the session', async () => {
  const s = await open();
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(`POST ${s.url()} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n4`);
  // The server has the head once it has answered a later request on another connection.
  await request(port, 'GET', '/nothing');
  assert.equal((await s.post('4b')).status, 400);
  await s.expectGone();
  socket.destroy();
});

test('a client that drops its poll or its POST is gone', async () => {
  for (const what of ['GET', 'POST']) {
    const s = await open();
    const socket = net.connect(port, '127.0.0.1');
    socket.write(`${what} ${s.url()} HTTP/1.1\r\nHost: x\r\n` +
      (what === 'POST' ? 'Content-Length: 9\r\n\r\n4' : '\r\n'));
    await request(port, 'GET', '/nothing');
    socket.destroy();
    for (;;) {
      const res = await request(port, 'POST', s.url(), { body: '3' });
      if (res.status === 400) break;
    }
    await s.expectGone();
  }
});

test('a POST of the wrong type ends the session', async () => {
  const s = await open();
  const res = await s.post('4x', { 'Content-Type': 'application/octet-stream' });
  assert.equal(res.status, 400);
  await s.expectGone();
});

test('a POST above maxPayload is refused as soon as it is known, and the session lives', async () => {
  const s = await open();
  await s.send(`4${'x'.repeat(999999)}`);
  assert.equal((await s.next()).length, 1000000);
  assert.equal((await s.post(`4${'x'.repeat(1000000)}`)).status, 413);
  const announced = await rawExchange(port,
    `POST ${s.url()} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n4`);
  assert.match(announced, /^HTTP\/1\.1 413 /);
  const counted = await rawExchange(port, `POST ${s.url()} HTTP/1.1\r\nHost: x\r\n` +
    `Transfer-Encoding: chunked\r\n\r\nfffff\r\n${'4'.repeat(0xfffff)}\r\n`);
  assert.match(counted, /^HTTP\/1\.1 413 /);
  await lives(s);
});

test('a close packet ends the session politely', async () => {
  const s = await open();
  const waiting = s.get();
  await request(port, 'GET', '/nothing');
  const res = await s.post('1');
  assert.equal(res.body, 'ok');
  const last = await waiting;
  assert.equal(last.status, 200);
  assert.equal(last.body, '6');
  await s.expectGone();
});

// Heartbeat

test('pings come at their interval, and pongs keep the session', async () => {
  const s = await new Polling(quick.port, PATH).open();
  const ws = await openWs(quick.port, PATH);
  for (let i = 0; i < 3; i++) {
    assert.equal((await s.get()).body, '2');
    assert.equal((await s.post('3')).status, 200);
    const f = await ws.frame();
    assert.equal(f.payload.toString(), '2');
    ws.send('3');
  }
  ws.destroy();
});

test('who does not answer is gone at the deadline', async () => {
  const s = await new Polling(quick.port, PATH).open();
  const opened = Date.now();
  const ws = await openWs(quick.port, PATH);
  await ws.frame();
  ws.send('4other traffic is no pong');
  await ws.closeCode();
  // Interval and timeout have passed since the session was opened: it must be unknown now.
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, opened + 500 - Date.now())));
  await s.expectGone();
});

test('a client has no ping of its own, but may send a pong too many', async () => {
  const ws = await openWs(port, PATH);
  ws.send('3', '4x');
  assert.equal(await ws.next(), '4x');
  ws.send('2');
  await ws.closeCode();
  const s = await open();
  await s.send('3');
  await lives(s);
});

test("a WebSocket ping is answered and is no heartbeat", async () => {
  const ws = await openWs(port, PATH);
  ws.raw(frame('ping', 'abc'));
  const f = await ws.frame();
  assert.equal(f.opcode, 10);
  assert.equal(f.payload.toString(), 'abc');
  ws.destroy();
});

// Upgrade

async function probe(s) {
  const ws = await new RawWs(s.port, `${PATH}?EIO=4&transport=websocket&sid=${s.sid}`).connect();
  assert.match(ws.head, /^HTTP\/1\.1 101 /);
  return ws;
}

test('an upgrade loses nothing and keeps the order', async () => {
  const s = await open();
  const waiting = s.get();
  const ws = await probe(s);
  ws.send('2probe');
  assert.equal(await ws.next(), '3probe');
  assert.equal((await waiting).body, '6');
  await s.send('4a', 'bAQI=');
  ws.send('5', '4b');
  assert.equal(await ws.next(), '4a');
  assert.deepEqual(await ws.next(), Buffer.from([1, 2]));
  assert.equal(await ws.next(), '4b');
  assert.equal((await s.get()).body, '{"code":3,"message":"Bad request"}');
  assert.equal((await s.post('4x')).status, 400);
  ws.send('4c');
  assert.equal(await ws.next(), '4c');
  ws.destroy();
});

test('while probing, polling still carries what there is', async () => {
  const s = await open();
  const ws = await probe(s);
  ws.send('2probe');
  assert.equal(await ws.next(), '3probe');
  await s.send('4a');
  assert.equal((await s.get()).body, '4a');
  assert.equal((await s.get()).body, '6');
  ws.send('5', '4b');
  assert.equal(await ws.next(), '4b');
  ws.destroy();
});

test('a probe that goes wrong leaves polling as it was', async () => {
  const s = await open();
  for (const packets of [['4x'], ['2'], ['2probe', '2probe'], ['2probe', '4x'], ['1'], ['x'],
    [Buffer.from('b')]]) {
    const ws = await probe(s);
    ws.send(...packets);
    assert.notEqual(await ws.closeCode(), null);
    await lives(s);
  }
  const dropped = await probe(s);
  dropped.send('2probe');
  await dropped.next();
  dropped.destroy();
  await lives(s);
  const ws = await probe(s);
  ws.send('2probe');
  assert.equal(await ws.next(), '3probe');
  ws.send('5', '4done');
  assert.equal(await ws.next(), '4done');
  ws.destroy();
});

test('a probe that does not come to its end is closed', async () => {
  const s = await open();
  const silent = await probe(s);
  await silent.closeCode();
  const half = await probe(s);
  half.send('2probe');
  assert.equal(await half.next(), '3probe');
  await half.closeCode();
  await lives(s);
});

test('a session has one WebSocket', async () => {
  const s = await open();
  const ws = await probe(s);
  assert.notEqual(await (await probe(s)).closeCode(), null);
  ws.send('2probe');
  assert.equal(await ws.next(), '3probe');
  ws.send('5', '4x');
  assert.equal(await ws.next(), '4x');
  assert.notEqual(await (await probe(s)).closeCode(), null);
  const born = await openWs(port, PATH);
  const thief = await probe({ port, sid: born.handshake.sid });
  assert.notEqual(await thief.closeCode(), null);
  for (const session of [ws, born]) {
    session.send('4mine');
    assert.equal(await session.next(), '4mine');
    session.destroy();
  }
});

test('a burst across an upgrade stays in order', async () => {
  const sio = await startServer();
  const s = await (await new Polling(sio.port).open()).join();
  const ws = await new RawWs(sio.port, `/socket.io/?EIO=4&transport=websocket&sid=${s.sid}`)
    .connect();
  ws.send('2probe');
  assert.equal(await ws.next(), '3probe');
  await s.send('42["burst",500,200]');
  const got = [];
  for (let i = 0; i < 3; i++) got.push(...(await s.get()).body.split(SEPARATOR));
  ws.send('5', '42["message","end"]');
  for (;;) {
    const p = await ws.next();
    if (p === '42["message-back","end"]') break;
    got.push(p);
  }
  assert.deepEqual(got.map((p) => JSON.parse(p.slice(2))[1]), Array.from({ length: 500 }, (_, i) => i));
  ws.destroy();
});

await run();
