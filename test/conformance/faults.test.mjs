#!/usr/bin/env node
// The JavaScript clients of each generation when something goes wrong: connections that are
// cut, a server that goes and comes back, messages too big, and an upgrade under load.
import { once } from 'node:events';
import { call, collect, kinds, next, Proxy, upTo } from './clients.mjs';
import { assert, run, soon, startServer, startServerOn, test } from './lib.mjs';

const LIMIT = 100000;
const { port } = await startServer('--max-payload', LIMIT, '--allow-eio3');
const ALL = kinds(4, 3, 2);
const again = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 100 };

const everyKind = (what, check, list = ALL) => {
  for (const kind of list) test(`${kind.name}: ${what}`, () => check(kind));
};

everyKind('comes back after a cut, and what was said meanwhile arrives in order', async (kind) => {
  const proxy = await new Proxy().start(port);
  const [watcher, socket] = [await kind.join(port), await kind.join(proxy.port, '/', again)];
  const before = socket.id;
  await call(watcher, 'watch', before);
  const left = next(watcher, 'left');
  const ended = next(socket, 'disconnect');
  proxy.cut();
  assert.match((await ended)[0], /^transport (close|error)$/);
  const whole = collect(socket, 'message-back', 20);
  const [auth, back] = [next(socket, 'auth'), next(socket, 'connect')];
  for (const i of upTo(20)) socket.emit('message', i);
  await back;
  await auth;
  assert.notEqual(socket.id, before);
  assert.deepEqual(await soon(whole, 'the echoes'), upTo(20));
  assert.match((await left)[1], /^transport (close|error)$/);
  await kind.arrived(socket);
  socket.disconnect();
  watcher.disconnect();
  proxy.stop();
});

everyKind('finds a server again that went and came back', async (kind) => {
  const server = await startServer('--allow-eio3');
  const socket = await kind.join(server.port, '/', again);
  for (const end of ['SIGTERM', 'SIGKILL']) {
    const ended = next(socket, 'disconnect');
    await server.stop(end);
    assert.match((await ended)[0], /^transport (close|error)$/);
    const back = next(socket, 'connect');
    Object.assign(server, await startServerOn(server.port, '--allow-eio3'));
    await back;
    assert.deepEqual(await call(socket, 'message-with-ack', end), [end]);
  }
  socket.disconnect();
  await server.stop();
});

everyKind('a message above maxPayload ends only its session', async (kind) => {
  const head = `${LIMIT}:42["message",""]`.length; // of polling in generation 2, the longest
  const [watcher, socket] = [await kind.join(port), await kind.join(port, '/', again)];
  const back = next(socket, 'message-back');
  socket.emit('message', 'x'.repeat(LIMIT - head));
  assert.equal((await back)[0].length, LIMIT - head);
  await call(watcher, 'watch', socket.id);
  const left = next(watcher, 'left');
  const ended = next(socket, 'disconnect');
  socket.emit('message', 'x'.repeat(LIMIT));
  assert.match((await ended)[0], /^transport (close|error)$/);
  assert.match((await left)[1], /^transport (close|error)$/);
  await next(socket, 'connect');
  assert.deepEqual(await call(socket, 'message-with-ack', 'back'), ['back']);
  socket.disconnect();
  watcher.disconnect();
});

// Both sides talk before, while and after the transport changes.
everyKind('an upgrade under load loses, doubles and reorders nothing', async (kind) => {
  let open;
  const proxy = await new Proxy().start(port, new Promise((resolve) => (open = resolve)));
  const socket = kind.dial(proxy.port);
  await soon(once(socket, 'connect'), 'connect');
  const echoes = [];
  socket.on('message-back', (i) => echoes.push(i));
  const bursts = collect(socket, 'burst', 3000);
  let sent = 0;
  let after = 0; // messages since the upgrade
  for (; after < 500; await new Promise(setImmediate)) {
    assert.ok(socket.connected, 'lost the connection');
    // A client before 4.4 puts all that waits into one POST: less than maxPayload.
    for (let i = 0; i < 20 && sent - echoes.length < 2000; i++) socket.emit('message', sent++);
    if (open && echoes.length >= 500) {
      socket.emit('burst', 3000, 100);
      open = open();
    }
    if (socket.io.engine.transport.name === 'websocket') after += 20;
  }
  assert.deepEqual(await soon(bursts, 'the burst', 20000), upTo(3000));
  await call(socket, 'message-with-ack');
  assert.deepEqual(echoes, upTo(sent));
  socket.disconnect();
  proxy.stop();
}, ALL.filter((k) => k.transport === 'upgrade'));

await run();
