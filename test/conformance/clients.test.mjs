#!/usr/bin/env node
// The JavaScript clients 2.x, 3.x and 4.x, each over polling, WebSocket, and with upgrade:
// what a client can ask for, and that they hear each other.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { call, collect, kinds, next, refusal, upTo } from './clients.mjs';
import {
  assert, joinWs, request, run, SEPARATOR, soon, startServer, test,
} from './lib.mjs';

const { port } = await startServer('--connect-timeout', 2000, '--max-payload', 4000000,
  '--allow-eio3');
const quick = await startServer('--ping-interval', 100, '--ping-timeout', 2000, '--allow-eio3');
const ALL = kinds(4, 3, 2);
const ARGS = [1, '2', { 3: [true, null, -1.5e-7], ñ: {} }, '\u0000\u2028😀', [], {}, 123456789012];

const everyKind = (what, check) => {
  for (const kind of ALL) test(`${kind.name}: ${what}`, () => check(kind));
};

everyKind('connects, and auth arrives', async (kind) => {
  for (const nsp of ['/', '/custom']) {
    const auth = { token: 'é', n: '1' };
    const socket = await kind.join(port, nsp, kind.old ? { query: auth } : { auth });
    if (!kind.old || nsp !== '/') assert.deepEqual(socket.greeting, auth);
    const [me] = await call(socket, 'whoami');
    assert.equal(me.id, socket.id);
    assert.equal(me.nsp, nsp);
    assert.equal(me.transport, kind.arrival);
    assert.equal(me.query.EIO, kind.old ? '3' : '4');
    if (kind.old && nsp === '/') assert.equal(me.query.token, 'é');
    assert.equal(socket.id === socket.io.engine.id, kind.old && nsp === '/');
    socket.disconnect();
  }
});

everyKind('events and acks carry any arguments', async (kind) => {
  const socket = await kind.join(port);
  const back = next(socket, 'message-back');
  socket.emit('message', ...ARGS);
  assert.deepEqual(await back, ARGS);
  assert.deepEqual(await call(socket, 'message-with-ack', ...ARGS), ARGS);
  assert.deepEqual(await call(socket, 'message-with-ack'), []);
  socket.disconnect();
});

everyKind('binary goes both ways', async (kind) => {
  const socket = await kind.join(port);
  const bytes = Buffer.from([0, 1, 2, 255]);
  const deep = { deep: [Buffer.alloc(200000, 7), 'text', { x: Buffer.alloc(0) }, bytes] };
  const back = next(socket, 'message-back');
  socket.emit('message', bytes, deep);
  assert.deepEqual(await back, [bytes, deep]);
  assert.deepEqual(await call(socket, 'message-with-ack', deep, bytes), [deep, bytes]);
  const out = next(socket, 'bin');
  socket.emit('binary-out');
  const list = [1, Buffer.from(upTo(1000).map((i) => i & 255))];
  assert.deepEqual(await out, [{ a: Buffer.from([0, 1, 2]), list, text: 'between' }, Buffer.alloc(0)]);
  socket.disconnect();
});

everyKind('more than a megabyte, as text and as binary', async (kind) => {
  const socket = await kind.join(port);
  for (const large of ['é😀'.repeat(300000), Buffer.alloc(1500000, 'abc')])
    assert.deepEqual(await call(socket, 'message-with-ack', large, 1), [large, 1]);
  socket.disconnect();
});

everyKind('the server asks, and waits no longer than it said', async (kind) => {
  const socket = await kind.join(port);
  socket.on('question', (...args) => args.at(-1)('so', ...args.slice(0, -1)));
  const answered = next(socket, 'answer');
  socket.emit('ask', 1, Buffer.from('two'));
  assert.deepEqual(await answered, ['so', 1, Buffer.from('two')]);
  socket.removeAllListeners('question');
  let late = 0;
  socket.on('answer', () => late++);
  const asked = next(socket, 'question');
  const timed = next(socket, 'answer-timeout');
  socket.emit('ask-timeout', 50);
  const [, ack] = await asked;
  await timed;
  ack('too late');
  await call(socket, 'message-with-ack');
  assert.equal(late, 0);
  socket.disconnect();
});

everyKind('a burst is whole and in order', async (kind) => {
  const socket = await kind.join(port);
  const whole = collect(socket, 'burst', 1000);
  socket.emit('burst', 1000, 100);
  assert.deepEqual(await soon(whole, 'the burst', 20000), upTo(1000));
  socket.disconnect();
});

everyKind('many events sent at once come back in order', async (kind) => {
  const socket = await kind.join(port);
  const whole = collect(socket, 'message-back', 300);
  for (const i of upTo(300)) socket.emit('message', i);
  assert.deepEqual(await soon(whole, 'the echoes', 20000), upTo(300));
  socket.disconnect();
});

everyKind('rooms, exceptions and broadcasts reach clients of every generation', async (kind) => {
  const room = `room of ${kind.name}`;
  const socket = await kind.join(port);
  const others = [await kind.join(port)];
  for (const other of ALL.filter((k) => k.transport === 'websocket' && k.old !== kind.old))
    others.push(await other.join(port));
  const raw = await joinWs(port);
  const heard = (event) => Promise.all(others.map((s) => next(s, event)));
  for (const s of [socket, ...others]) await call(s, 'join', room);
  assert.deepEqual((await call(socket, 'rooms'))[0].sort(), [socket.id, room].sort());

  const args = [Buffer.from('x'), { deep: [Buffer.alloc(3)] }, 'ñ'];
  let all = heard('hello');
  socket.emit('to-room', [room, 'nobody', room], 'hello', ...args);
  for (const got of await all) assert.deepEqual(got, args);
  all = Promise.all([heard('us'), next(socket, 'us')]);
  socket.emit('in-room', room, 'us', 1);
  await all;

  await call(others[0], 'join', `${room}, but`);
  let wrong = 0;
  for (const s of [socket, others[0]]) s.on('some', () => wrong++);
  all = Promise.all(others.slice(1).map((s) => next(s, 'some')));
  socket.emit('to-except', room, `${room}, but`, 'some');
  await all;

  all = heard(`news of ${room}`);
  socket.emit('broadcast', `news of ${room}`, 1);
  for (const got of await all) assert.deepEqual(got, [1]);
  assert.equal(await raw.next(), `42["news of ${room}",1]`);

  for (const s of [socket, ...others]) s.on('question', (_, ack) => ack(s.id));
  const answers = next(socket, 'answers');
  socket.emit('ask-room', room, 5000);
  const [error, ids] = await answers;
  assert.equal(error, null);
  assert.deepEqual(ids.sort(), [socket, ...others].map((s) => s.id).sort());
  assert.deepEqual((await call(socket, 'fetch', room))[0].sort(), ids);
  await call(socket, 'leave', room);
  assert.deepEqual(await call(socket, 'rooms'), [[socket.id]]);
  const left = Promise.all(others.map((s) => next(s, 'disconnect')));
  socket.emit('disconnect-room', room);
  for (const [reason] of await left) assert.equal(reason, 'io server disconnect');
  assert.equal(wrong, 0);
  raw.destroy();
  socket.disconnect();
});

everyKind('a refusal says why', async (kind) => {
  const refused = async (nsp, options) => {
    const socket = kind.dial(port, nsp, options);
    const why = await soon(refusal(socket), 'the refusal');
    socket.disconnect();
    return why;
  };
  const credentials = (token) => (kind.old ? { query: { token } } : { auth: { token } });
  assert.equal((await refused('/nowhere')).message, 'Invalid namespace');
  const wrong = await refused('/restricted', credentials('wrong'));
  if (!kind.old) assert.equal(wrong.message, 'unauthorized');
  assert.deepEqual(wrong.data, { code: 'E_AUTH' });
  (await kind.join(port, '/restricted', credentials('secret'))).disconnect();
  await refused('/', { query: { deny: 1 } });
});

everyKind('each side learns why it ended', async (kind) => {
  const watcher = await kind.join(port);
  const reasons = async (act) => {
    const socket = await kind.join(port);
    const name = socket.id;
    assert.deepEqual(await call(watcher, 'watch', name), [true]);
    const left = next(watcher, 'left');
    const ended = next(socket, 'disconnect');
    act(socket);
    const [[here], [id, there]] = await Promise.all([ended, left]);
    assert.equal(id, name);
    return [here, there];
  };
  assert.deepEqual(await reasons((s) => s.disconnect()),
    ['io client disconnect', 'client namespace disconnect']);
  assert.deepEqual(await reasons((s) => s.emit('kick')),
    ['io server disconnect', 'server namespace disconnect']);
  assert.deepEqual(await reasons((s) => s.emit('kick-close')),
    ['io server disconnect', 'forced server close']);
  assert.deepEqual(await reasons((s) => s.io.engine.close()), ['forced close', 'transport close']);
  watcher.disconnect();
});

/** Holds what the client sends over the WebSocket it upgrades to; gives how to let it go. */
async function heldUpgrade(socket) {
  const [transport] = await soon(once(socket.io.engine, 'upgrading'), 'the probe');
  const send = transport.send;
  const held = [];
  const stopped = new Promise((resolve) => {
    transport.send = (packets) => resolve(held.push(packets));
  });
  await soon(stopped, 'the end of polling');
  return () => {
    transport.send = send;
    for (const packets of held) transport.send(packets);
  };
}

for (const kind of ALL.filter((k) => k.transport === 'upgrade')) {
  test(`${kind.name}: who is disconnected during the upgrade misses nothing`, async () => {
    const socket = kind.dial(port);
    const go = heldUpgrade(socket);
    await soon(once(socket, 'connect'), 'connect');
    const letGo = await go; // polls no more, and has not said so
    const { id } = socket.io.engine;
    const packets = ['42["message","last"]', '42["kick-close"]'];
    const res = await request(
      port, 'POST', `/socket.io/?EIO=${kind.old ? 3 : 4}&transport=polling&sid=${id}`,
      { headers: { 'Content-Type': 'text/plain;charset=UTF-8' },
        body: kind.old ? packets.map((p) => `${p.length}:${p}`).join('')
          : packets.join(SEPARATOR) });
    assert.equal(res.body, 'ok');
    const last = next(socket, 'message-back');
    const ended = next(socket, 'disconnect');
    letGo();
    assert.deepEqual(await last, ['last']);
    assert.equal((await ended)[0], 'io server disconnect');
  });
}

everyKind('stays through many heartbeats', async (kind) => {
  const socket = await kind.join(quick.port);
  const beat = kind.old ? 'pong' : 'ping';
  for (let n = 0; n < 4;) {
    const [packet] = await soon(once(socket.io.engine, 'packet'), `a ${beat}`);
    if (packet.type === beat) n++;
  }
  assert.deepEqual(await call(socket, 'message-with-ack', 'alive'), ['alive']);
  socket.disconnect();
});

everyKind('namespaces share a connection', async (kind) => {
  const first = await kind.join(port);
  const second = first.io.socket('/custom');
  await soon(once(second, 'connect'), 'the second namespace');
  assert.notEqual(first.id, second.id);
  assert.deepEqual(await call(second, 'message-with-ack', 2), [2]);
  const out = next(first, 'disconnect');
  first.emit('kick');
  await out;
  assert.deepEqual(await call(second, 'message-with-ack', 3), [3]);
  second.disconnect();
});

test('all of it works over TLS', async () => {
  const dir = mkdtempSync(joinPath(tmpdir(), 'conformance-'));
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => joinPath(dir, name));
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
    '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1',
    '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const secure = await startServer('--tls-cert', cert, '--tls-key', key, '--allow-eio3');
  const ca = readFileSync(cert);
  rmSync(dir, { recursive: true });
  for (const kind of ALL) {
    const socket = await kind.join(secure.port, '/', { ca });
    const large = Buffer.alloc(300000, 1);
    assert.deepEqual(await call(socket, 'message-with-ack', large), [large]);
    socket.disconnect();
  }
});

test('all of it works with every option on', async () => {
  const { port: rich } = await startServer('--deflate', '--cookie', '--recovery', '--allow-eio3',
    '--jsonp');
  const text = upTo(20000).join(' ');
  for (const kind of ALL) {
    const socket = await kind.join(rich);
    for (const large of [text, Buffer.from(text)])
      assert.deepEqual(await call(socket, 'message-with-ack', large), [large]);
    const whole = collect(socket, 'burst', 300);
    socket.emit('burst', 300, 2000);
    assert.deepEqual(await soon(whole, 'the burst', 20000), upTo(300));
    socket.disconnect();
  }
});

await run();
