#!/usr/bin/env node
// Connection state recovery, with the JavaScript client behind a proxy that cuts its
// connection, and with packets by hand.
import { once } from 'node:events';
import net from 'node:net';
import { io } from 'socket.io-client';
import ioV2 from 'socket.io-client-v2';
import parser from 'socket.io-msgpack-parser';
import { assert, Polling, run, soon, startServer, test } from './lib.mjs';

const server = await startServer(
  '--recovery=60000', '--ping-interval', 1000, '--ping-timeout', 1000,
);
const brief = await startServer('--recovery=1');

const TRANSPORTS = {
  polling: ['polling'],
  websocket: ['websocket'],
  upgrade: ['polling', 'websocket'],
};

/** Passes bytes on until it is cut; then refuses until it is mended. */
class Wire {
  async open(port) {
    this.pipes = new Set();
    this.up = true;
    this.listener = net.createServer((near) => {
      if (!this.up) return near.destroy();
      const far = net.connect(port, '127.0.0.1');
      for (const [a, b] of [[near, far], [far, near]]) {
        this.pipes.add(a);
        a.setNoDelay(true);
        a.pipe(b);
        a.on('error', () => {});
        a.on('close', () => {
          this.pipes.delete(a);
          b.destroy();
        });
      }
    });
    this.listener.listen(0, '127.0.0.1');
    await once(this.listener, 'listening');
    this.url = `http://127.0.0.1:${this.listener.address().port}`;
    return this;
  }

  cut() {
    this.up = false;
    for (const p of this.pipes) p.resetAndDestroy();
  }

  mend() {
    this.up = true;
  }

  close() {
    this.cut();
    this.listener.close();
  }
}

const ask = (socket, ...args) => socket.timeout(5000).emitWithAck(...args);

/** A client behind a wire, and one that looks on. */
async function start(transports, port = server.port, nsp = '/', options = {}) {
  const wire = await new Wire().open(port);
  const socket = io(wire.url + nsp, {
    transports, forceNew: true, reconnectionDelay: 10, reconnectionDelayMax: 50, ...options,
  });
  const other = io(`http://127.0.0.1:${port}${nsp}`, {
    transports: ['websocket'], forceNew: true, ...options,
  });
  const events = [];
  await soon(Promise.all([once(socket, 'auth'), once(other, 'auth')]), 'auth');
  if (transports.length > 1 && socket.io.engine.transport.name !== 'websocket')
    await soon(once(socket.io.engine, 'upgrade'), 'the upgrade');
  socket.onAny((...args) => events.push(args));
  const stop = () => {
    socket.disconnect();
    other.disconnect();
    wire.close();
  };
  return { wire, socket, other, events, stop };
}

/** Cuts the connection and waits until the server has seen it. */
async function lose({ wire, socket, other }) {
  const id = socket.id;
  assert.equal(await ask(other, 'watch', id), true);
  const left = soon(once(other, 'left'), 'the server to see it', 15000);
  const gone = soon(once(socket, 'disconnect'), 'the client to see it', 15000);
  wire.cut();
  const [who, reason] = await left;
  assert.equal(who, id);
  assert.match(reason, /^(transport close|transport error|ping timeout)$/);
  await gone;
  assert.equal(socket.connected, false);
}

async function find({ wire, socket }) {
  const back = once(socket, 'connect');
  wire.mend();
  await soon(back, 'the way back', 15000);
}

/** All that was sent before this has arrived after it. */
const settle = (socket) => ask(socket, 'message-with-ack', 1);

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  test(`${name}: goes on where it was`, async () => {
    const world = await start(transports);
    const { socket, other, events } = world;
    const { id } = socket;
    assert.equal(socket.recovered, false);
    await ask(socket, 'join', 'room');
    other.emit('in-room', 'room', 'before', 0);
    await settle(other);
    await settle(socket);

    for (let round = 1; round <= 2; round++) {
      events.length = 0;
      await lose(world);
      for (let i = 0; i < 100; i++) other.emit('in-room', 'room', 'missed', i, 'x');
      other.emit('in-room', 'elsewhere', 'not for it', 1);
      other.emit('to-except', 'room', id, 'nor this');
      other.emit('broadcast', 'to all', { round });
      other.emit('to-room', id, 'to it alone');
      other.emit('in-room', 'room', 'bytes', Buffer.from([1, 2, 3]), { deep: [Buffer.alloc(5000, 7)] });
      await settle(other);
      await find(world);
      assert.equal(socket.recovered, true);
      assert.equal(socket.id, id);
      await settle(socket);
      const seen = events.filter(([event]) => event !== 'auth');
      for (let i = 0; i < 100; i++) assert.deepEqual(seen[i].slice(0, 3), ['missed', i, 'x']);
      assert.deepEqual(seen.slice(100).map(([event]) => event), ['to all', 'to it alone', 'bytes']);
      assert.deepEqual(seen[100][1], { round });
      assert.deepEqual(seen[102][1], Buffer.from([1, 2, 3]));
      assert.deepEqual(seen[102][2].deep[0], Buffer.alloc(5000, 7));
      for (const args of seen) assert.equal(typeof args.at(-1), 'string');

      const rooms = await ask(socket, 'rooms');
      assert.deepEqual(rooms.sort(), [id, 'room'].sort());
      other.emit('in-room', 'room', 'live');
      await soon(once(socket, 'live'), 'a live event');
    }
    world.stop();
  });
}

test('a namespace of its own is recovered by itself', async () => {
  const world = await start(['websocket'], server.port, '/custom');
  const { socket, other, events } = world;
  const { id } = socket;
  await lose(world);
  other.emit('broadcast', 'missed');
  await settle(other);
  await find(world);
  await settle(socket);
  assert.equal(socket.recovered, true);
  assert.equal(socket.id, id);
  assert.equal(events.filter(([event]) => event === 'missed').length, 1);
  world.stop();
});

test('goes on with the msgpack parser', async () => {
  const packed = await startServer('--recovery', '--parser', 'msgpack');
  const world = await start(['websocket'], packed.port, '/', { parser });
  const { socket, other, events } = world;
  const { id } = socket;
  await lose(world);
  other.emit('broadcast', 'missed', 1, { bytes: Buffer.from([1, 2]) });
  other.emit('to-room', id, 'also');
  await settle(other);
  await find(world);
  await settle(socket);
  assert.equal(socket.recovered, true);
  assert.equal(socket.id, id);
  const seen = events.filter(([event]) => event !== 'auth');
  assert.deepEqual(seen.map(([event]) => event), ['missed', 'also']);
  assert.deepEqual([...seen[0][2].bytes], [1, 2]);
  for (const args of seen) assert.equal(typeof args.at(-1), 'string');
  world.stop();
  await packed.stop();
});

test('a client of version 2 in the room does not mind', async () => {
  const mixed = await startServer('--recovery', '--allow-eio3');
  const world = await start(['websocket'], mixed.port);
  const { socket, other, events } = world;
  const old = ioV2(`http://127.0.0.1:${mixed.port}`, { forceNew: true });
  const seen = [];
  old.on('news', (...args) => seen.push(args));
  await soon(once(old, 'auth'), 'auth');
  for (const s of [old, socket]) await soon(new Promise((r) => s.emit('join', 'room', r)), 'join');
  await lose(world);
  other.emit('in-room', 'room', 'news', 1, Buffer.from([9]));
  await settle(other);
  await find(world);
  await settle(socket);
  await soon(new Promise((r) => old.emit('message-with-ack', 1, r)), 'an answer');
  assert.equal(socket.recovered, true);
  const missed = events.find(([event]) => event === 'news');
  assert.deepEqual(missed.slice(1, 3), [1, Buffer.from([9])]);
  assert.equal(seen.length, 1);
  assert.deepEqual([seen[0][0], [...seen[0][1]]], [1, [9]]);
  assert.equal(seen[0][2], missed[3]);
  old.close();
  world.stop();
  await mixed.stop();
});

test('who is away too long starts anew', async () => {
  const world = await start(['websocket'], brief.port);
  const { socket, other, events } = world;
  const { id } = socket;
  await lose(world);
  other.emit('broadcast', 'missed');
  for (let i = 0; i < 10; i++) await settle(other);
  await find(world);
  await settle(socket);
  assert.equal(socket.recovered, false);
  assert.notEqual(socket.id, id);
  assert.equal(events.some(([event]) => event === 'missed'), false);
  world.stop();
});

test('who says goodbye starts anew', async () => {
  const world = await start(['websocket']);
  const { socket } = world;
  const { id } = socket;
  socket.disconnect();
  const back = once(socket, 'connect');
  socket.connect();
  await soon(back, 'connect');
  assert.equal(socket.recovered, false);
  assert.notEqual(socket.id, id);
  world.stop();
});

for (const event of ['kick', 'kick-close']) {
  test(`who was sent away by ${event} starts anew`, async () => {
    const t = await start(['websocket']);
    const gone = once(t.socket, 'disconnect');
    t.socket.emit(event);
    assert.equal((await soon(gone, 'the disconnect'))[0], 'io server disconnect');
    const back = once(t.socket, 'connect');
    t.socket.connect();
    await soon(back, 'the client back');
    assert.equal(t.socket.recovered, false);
    t.stop();
  });
}

test('what the server sends in a burst arrives once and in order', async () => {
  const world = await start(['polling', 'websocket']);
  const { socket } = world;
  const got = [];
  socket.on('burst', (i) => got.push(i));
  socket.emit('burst', 3000, 100);
  await soon(once(socket, 'burst'), 'the first');
  await lose(world);
  await find(world);
  await settle(socket);
  assert.equal(socket.recovered, true);
  assert.deepEqual(got, Array.from({ length: 3000 }, (_, i) => i));
  world.stop();
});

async function joinBy(port, auth) {
  const session = await new Polling(port).open();
  await session.send(`40${auth === undefined ? '' : JSON.stringify(auth)}`);
  const reply = await session.next();
  const [event, echo, offset] = JSON.parse((await session.next()).slice(2));
  assert.equal(event, 'auth');
  assert.deepEqual(echo, auth ?? {});
  return { session, ...JSON.parse(reply.slice(2)), offset };
}

test('a pid is no id, and says nothing that could be guessed', async () => {
  const a = await joinBy(server.port);
  const b = await joinBy(server.port);
  for (const c of [a, b]) {
    assert.match(c.pid, /^[\w-]{20}$/);
    assert.match(c.offset, /^[\w-]+$/);
    assert.equal(new Set([c.pid, c.sid, c.session.sid]).size, 3);
  }
  assert.notEqual(a.pid, b.pid);
  assert.notEqual(a.offset, b.offset);
});

test('what is no pid and offset makes a connection like any other', async () => {
  const live = await joinBy(server.port);
  const bad = [
    { pid: live.pid, offset: live.offset }, // still there
    { pid: live.pid }, { offset: live.offset },
    { pid: 1, offset: live.offset }, { pid: null, offset: null },
    { pid: [live.pid], offset: [live.offset] }, { pid: { a: 1 }, offset: {} },
    { pid: 'x'.repeat(100000), offset: 'x'.repeat(100000) },
    { pid: '\u0000', offset: '\u0000' }, { pid: '', offset: '' },
    { pid: '__proto__', offset: 'constructor' },
  ];
  for (const auth of bad) {
    const c = await joinBy(server.port, auth);
    assert.notEqual(c.sid, live.sid);
    assert.notEqual(c.pid, live.pid);
  }
});

test('without the option there is neither pid nor offset', async () => {
  const plain = await startServer();
  const c = await joinBy(plain.port);
  assert.equal(c.pid, undefined);
  assert.equal(c.offset, undefined);
});

await run();
