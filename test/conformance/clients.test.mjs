#!/usr/bin/env node
// The JavaScript client, version 4, over polling only, WebSocket only, and with upgrade.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { io } from 'socket.io-client';
import { assert, joinWs, run, soon, startServer, test } from './lib.mjs';

const { port } = await startServer('--connect-timeout', 2000);
const quick = await startServer('--ping-interval', 100, '--ping-timeout', 2000);

const TRANSPORTS = {
  polling: ['polling'],
  websocket: ['websocket'],
  upgrade: ['polling', 'websocket'],
};

function dial(transports, nsp = '/', options = {}) {
  return io(`${options.scheme ?? 'http'}://127.0.0.1:${options.port ?? port}${nsp}`,
    { transports, forceNew: true, reconnection: false, ...options });
}

/** Connected, with "auth" seen; upgraded where that was asked for. */
async function join(transports, nsp = '/', options = {}) {
  const socket = dial(transports, nsp, options);
  socket.once('connect_error', (e) => socket.emit('error', e));
  const auth = once(socket, 'auth');
  await soon(once(socket, 'connect'), 'connect');
  socket.greeting = (await soon(auth, 'auth'))[0];
  if (transports.length > 1 && socket.io.engine.transport.name !== 'websocket')
    await soon(once(socket.io.engine, 'upgrade'), 'the upgrade');
  return socket;
}

const next = (socket, event) => soon(once(socket, event), event);

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  test(`${name}: connects, and auth arrives`, async () => {
    for (const nsp of ['/', '/custom']) {
      const socket = await join(transports, nsp, { auth: { token: 'é', n: [1, null] } });
      assert.deepEqual(socket.greeting, { token: 'é', n: [1, null] });
      assert.match(socket.id, /^[\w-]{20}$/);
      assert.notEqual(socket.id, socket.io.engine.id);
      const [me] = [await socket.timeout(5000).emitWithAck('whoami')];
      assert.equal(me.id, socket.id);
      assert.equal(me.nsp, nsp);
      assert.equal(me.transport, name === 'polling' ? 'polling' : 'websocket');
      socket.disconnect();
    }
  });

  test(`${name}: events and acks carry any arguments`, async () => {
    const socket = await join(transports);
    const args = [1, '2', { 3: [true, null, -1.5e-7] }, '\u0000\u2028😀', [], {}, 123456789012];
    const back = next(socket, 'message-back');
    socket.emit('message', ...args);
    assert.deepEqual(await back, args);
    const ack = await soon(new Promise((r) => socket.emit('message-with-ack', ...args,
      (...answer) => r(answer))), 'the ack');
    assert.deepEqual(ack, args);
    socket.disconnect();
  });

  test(`${name}: binary goes both ways`, async () => {
    const socket = await join(transports);
    const bytes = Buffer.from([0, 1, 2, 255]);
    const large = Buffer.alloc(200000, 7);
    const back = next(socket, 'message-back');
    socket.emit('message', bytes, { deep: [large, 'text', Buffer.alloc(0)] });
    const [first, second] = await back;
    assert.deepEqual(first, bytes);
    assert.deepEqual(second, { deep: [large, 'text', Buffer.alloc(0)] });
    assert.deepEqual(await socket.timeout(5000).emitWithAck('message-with-ack', bytes), bytes);
    const out = next(socket, 'bin');
    socket.emit('binary-out');
    const [object, empty] = await out;
    assert.deepEqual(object.a, Buffer.from([0, 1, 2]));
    assert.equal(object.list[0], 1);
    assert.equal(object.list[1].length, 1000);
    assert.equal(object.text, 'between');
    assert.equal(empty.length, 0);
    socket.disconnect();
  });

  test(`${name}: the server asks`, async () => {
    const socket = await join(transports);
    socket.on('question', (...args) => args.at(-1)('so', ...args.slice(0, -1)));
    const answered = next(socket, 'answer');
    socket.emit('ask', 1, 'two');
    assert.deepEqual(await answered, ['so', 1, 'two']);
    socket.removeAllListeners('question');
    const timed = next(socket, 'answer-timeout');
    socket.emit('ask-timeout', 50);
    await timed;
    socket.disconnect();
  });

  test(`${name}: a burst is whole and in order`, async () => {
    const socket = await join(transports);
    const got = [];
    const whole = new Promise((resolve) => socket.on('burst', (i) => {
      got.push(i);
      if (got.length === 1000) resolve();
    }));
    socket.emit('burst', 1000, 100);
    await soon(whole, 'the burst', 20000);
    assert.deepEqual(got, Array.from({ length: 1000 }, (_, i) => i));
    socket.disconnect();
  });

  test(`${name}: many events sent at once come back in order`, async () => {
    const socket = await join(transports);
    const got = [];
    const whole = new Promise((resolve) => socket.on('message-back', (i) => {
      got.push(i);
      if (got.length === 300) resolve();
    }));
    for (let i = 0; i < 300; i++) socket.emit('message', i);
    await soon(whole, 'the echoes', 20000);
    assert.deepEqual(got, Array.from({ length: 300 }, (_, i) => i));
    socket.disconnect();
  });

  test(`${name}: rooms and broadcasts`, async () => {
    const [a, b] = [await join(transports), await join(transports)];
    const other = await joinWs(port);
    await a.timeout(5000).emitWithAck('join', name).catch(() => {});
    await b.timeout(5000).emitWithAck('join', name);
    let heard = next(b, 'hello');
    a.emit('to-room', name, 'hello', Buffer.from('x'));
    assert.deepEqual(await heard, [Buffer.from('x')]);
    heard = next(b, 'news');
    a.emit('broadcast', 'news', 1);
    assert.deepEqual(await heard, [1]);
    assert.equal(await other.next(), '42["news",1]');
    b.on('question', (room, ack) => ack('yes'));
    a.on('question', (room, ack) => ack('yes'));
    const answers = next(a, 'answers');
    a.emit('ask-room', name, 5000);
    assert.deepEqual(await answers, [null, ['yes', 'yes']]);
    other.destroy();
    a.disconnect();
    b.disconnect();
  });

  test(`${name}: a refusal is a connect_error`, async () => {
    const unknown = dial(transports, '/nowhere');
    assert.equal((await next(unknown, 'connect_error'))[0].message, 'Invalid namespace');
    unknown.disconnect();
    const wrong = dial(transports, '/restricted', { auth: { token: 'wrong' } });
    const [error] = await next(wrong, 'connect_error');
    assert.equal(error.message, 'unauthorized');
    assert.deepEqual(error.data, { code: 'E_AUTH' });
    wrong.disconnect();
    (await join(transports, '/restricted', { auth: { token: 'secret' } })).disconnect();
    const denied = dial(transports, '/', { query: { deny: 1 } });
    await next(denied, 'connect_error');
    denied.disconnect();
  });

  test(`${name}: each side learns why it ended`, async () => {
    const watcher = await join(['websocket']);
    const reasons = async (act) => {
      const socket = await join(transports);
      assert.equal(await watcher.timeout(5000).emitWithAck('watch', socket.id), true);
      const left = next(watcher, 'left');
      const ended = next(socket, 'disconnect');
      act(socket);
      return [(await ended)[0], (await left)[1]];
    };
    assert.deepEqual(await reasons((s) => s.disconnect()),
      ['io client disconnect', 'client namespace disconnect']);
    assert.deepEqual(await reasons((s) => s.emit('kick')),
      ['io server disconnect', 'server namespace disconnect']);
    const [here, there] = await reasons((s) => s.emit('kick-close'));
    assert.equal(there, 'forced server close');
    assert.equal(here, 'transport close');
    assert.deepEqual(await reasons((s) => s.io.engine.close()),
      ['forced close', 'transport close']);
    watcher.disconnect();
  });

  test(`${name}: stays through many heartbeats`, async () => {
    const socket = await join(transports, '/', { port: quick.port });
    for (let i = 0; i < 5; i++) await soon(once(socket.io.engine, 'packet'), 'a ping');
    assert.equal(await socket.timeout(5000).emitWithAck('message-with-ack', 'alive'), 'alive');
    socket.disconnect();
  });

  test(`${name}: namespaces share a connection`, async () => {
    const first = await join(transports);
    const second = first.io.socket('/custom');
    await soon(once(second, 'connect'), 'the second namespace');
    assert.notEqual(first.id, second.id);
    assert.equal(await second.timeout(5000).emitWithAck('message-with-ack', 2), 2);
    first.disconnect();
    assert.equal(await second.timeout(5000).emitWithAck('message-with-ack', 3), 3);
    second.disconnect();
  });
}

test('all of it works over TLS', async () => {
  const dir = mkdtempSync(joinPath(tmpdir(), 'conformance-'));
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => joinPath(dir, name));
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
    '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1',
    '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const secure = await startServer('--tls-cert', cert, '--tls-key', key);
  const ca = readFileSync(cert);
  rmSync(dir, { recursive: true });
  for (const transports of Object.values(TRANSPORTS)) {
    const socket = await join(transports, '/', { port: secure.port, scheme: 'https', ca });
    const large = Buffer.alloc(300000, 1);
    assert.deepEqual(await socket.timeout(5000).emitWithAck('message-with-ack', large), large);
    socket.disconnect();
  }
});

test('the end of the server ends the clients', async () => {
  const short = await startServer();
  const sockets = [];
  for (const transports of Object.values(TRANSPORTS))
    sockets.push(await join(transports, '/', { port: short.port }));
  const ended = sockets.map((s) => next(s, 'disconnect'));
  await short.stop();
  for (const [reason] of await Promise.all(ended)) assert.match(reason, /^transport/);
});

await run();
