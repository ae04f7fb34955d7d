#!/usr/bin/env node
// The admin namespace, spoken to as the Socket.IO Admin UI does.
import { once } from 'node:events';
import { io } from 'socket.io-client';
import { assert, run, soon, startServer, test } from './lib.mjs';

// bcrypt of 'open sesame', cheap (cost 4).
const HASH = '$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy';
const GOOD = { username: 'admin', password: 'open sesame' };

const server = await startServer('--admin', HASH, '--recovery');
const figures = await startServer('--admin', HASH, '--admin-figures');

function dial(port, nsp = '/', options = {}) {
  const socket = io(`http://127.0.0.1:${port}${nsp}`, {
    transports: ['websocket'], forceNew: true, reconnection: false, ...options,
  });
  socket.log = [];
  socket.onAny((...args) => socket.log.push(args));
  return socket;
}

async function client(port, nsp = '/', options = {}) {
  const socket = dial(port, nsp, options);
  await soon(once(socket, 'auth'), 'auth');
  return socket;
}

/** A UI that has been let in, with what it was told first. */
async function ui(port, auth = GOOD) {
  const socket = dial(port, '/admin', { auth });
  const refused = once(socket, 'connect_error').then(([e]) => { throw e; });
  await soon(Promise.race([once(socket, 'config'), refused]), 'config');
  refused.catch(() => {});
  return socket;
}

async function refusal(port, auth) {
  const socket = dial(port, '/admin', { auth });
  const [error] = await soon(once(socket, 'connect_error'), 'a refusal');
  socket.disconnect();
  return error.message;
}

/** The first logged event that fits, now or later. */
async function told(socket, event, fits = () => true) {
  const find = () => socket.log.find(([name, ...args]) => name === event && fits(...args));
  while (!find()) await soon(new Promise((r) => socket.onAny(r)), event);
  return find().slice(1);
}

const ask = (socket, ...args) => socket.timeout(5000).emitWithAck(...args);
const isDate = (text) => assert.match(text, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

test('lets in who knows the password, and knows it again', async () => {
  const first = await ui(server.port);
  const [sessionId] = await told(first, 'session');
  assert.match(sessionId, /^[\w-]{20}$/);
  assert.notEqual(sessionId, first.id);
  first.disconnect();
  const again = await ui(server.port, { sessionId });
  assert.equal(again.log.some(([name]) => name === 'session'), false);
  again.disconnect();
});

test('tells what it can do', async () => {
  const socket = await ui(server.port);
  const [config] = await told(socket, 'config');
  assert.deepEqual(config, { supportedFeatures: ['EMIT', 'JOIN', 'LEAVE', 'DISCONNECT', 'MJOIN',
    'MLEAVE', 'MDISCONNECT', 'AGGREGATED_EVENTS', 'ALL_EVENTS'] });
  socket.disconnect();
  const small = await ui(figures.port);
  assert.deepEqual((await told(small, 'config'))[0], { supportedFeatures: ['AGGREGATED_EVENTS'] });
  small.disconnect();
});

test('shows figures every two seconds', async () => {
  const socket = await ui(figures.port);
  const [first] = await told(socket, 'server_stats');
  assert.equal(first.serverId, first.hostname);
  assert.equal(first.pid, figures.child.pid);
  const other = await client(figures.port, '/custom', { transports: ['polling'] });
  const [stats] = await told(socket, 'server_stats', (s) => s.pollingClientsCount === 1);
  assert.equal(stats.clientsCount, 2);
  assert.ok(stats.uptime > 0 && stats.uptime >= first.uptime && stats.uptime < 1000);
  const sockets = Object.fromEntries(stats.namespaces.map((n) => [n.name, n.socketsCount]));
  assert.equal(sockets['/custom'], 1);
  assert.equal(sockets['/admin'], 1);
  const counts = Object.fromEntries(stats.aggregatedEvents.map((e) => [e.type, e]));
  assert.equal(counts.rawConnection.count, 1);
  assert.ok(counts.packetsIn.count > 0 && counts.bytesOut.count > counts.packetsOut.count);
  assert.ok(Math.abs(counts.packetsIn.timestamp - Date.now()) < 60000);
  assert.equal(socket.log.some(([name]) => !['config', 'session', 'server_stats'].includes(name)), false);
  other.disconnect();
  socket.disconnect();
});

test('changes nothing where it only shows', async () => {
  const other = await client(figures.port);
  const socket = await ui(figures.port);
  socket.emit('_disconnect', '/', true, other.id);
  socket.emit('join', '/', 'room', other.id);
  socket.emit('emit', '/', other.id, 'hello');
  await told(socket, 'server_stats', (s) => s.aggregatedEvents.length > 0);
  assert.deepEqual(await ask(other, 'rooms'), [other.id]);
  assert.equal(other.log.some(([name]) => name === 'hello'), false);
  for (const s of [other, socket]) s.disconnect();
});

test('shows who is there, without their secrets', async () => {
  const other = await client(server.port, '/custom', {
    query: { who: 'é x', token: 'secret', Password: 'secret' },
    extraHeaders: { Cookie: 'io=secret', Authorization: 'Bearer secret', 'X-Thing': 'seen' },
  });
  await ask(other, 'join', 'room');
  const socket = await ui(server.port);
  const [list] = await told(socket, 'all_sockets');
  const it = list.find(({ id }) => id === other.id);
  assert.equal(it.nsp, '/custom');
  assert.equal(it.transport, 'websocket');
  assert.deepEqual(it.rooms, [other.id, 'room']);
  assert.deepEqual(it.data, {});
  assert.equal(it.handshake.headers['x-thing'], 'seen');
  assert.equal(it.handshake.query.who, 'é x');
  assert.equal(it.handshake.address, '127.0.0.1');
  assert.equal(it.handshake.secure, false);
  assert.ok(it.handshake.url.startsWith('/socket.io/?'));
  assert.ok(Math.abs(it.handshake.issued - Date.now()) < 60000);
  assert.ok(!Number.isNaN(Date.parse(it.handshake.time)));
  assert.equal(JSON.stringify(list).includes('secret'), false);
  assert.equal(JSON.stringify(list).includes(other.io.engine.id), false);
  assert.ok(list.some(({ id }) => id === socket.id));
  for (const s of [other, socket]) s.disconnect();
});

test('shows who comes, goes, moves and speaks', async () => {
  const socket = await ui(server.port);
  const other = await client(server.port, '/', { transports: ['polling', 'websocket'] });
  const { id } = other;
  const [it, time] = await told(socket, 'socket_connected', (s) => s.id === id);
  assert.equal(it.transport, 'polling');
  isDate(time);
  const [change] = await told(socket, 'socket_updated');
  assert.deepEqual(change, { id, nsp: '/', transport: 'websocket' });

  await ask(other, 'join', 'r"1');
  assert.deepEqual((await told(socket, 'room_joined')).slice(0, 3), ['/', 'r"1', id]);
  await ask(other, 'leave', 'r"1');
  assert.deepEqual((await told(socket, 'room_left')).slice(0, 3), ['/', 'r"1', id]);

  other.emit('message', 'hi', { a: 1 }, Buffer.from([1]));
  const [nsp, who, args] = await told(socket, 'event_received', (n, i, a) => a[0] === 'message');
  assert.deepEqual([nsp, who, args.slice(0, 3)], ['/', id, ['message', 'hi', { a: 1 }]]);
  const sent = await told(socket, 'event_sent', (n, i, a) => a[0] === 'message-back');
  assert.deepEqual([sent[1], sent[2].slice(0, 3)], [id, ['message-back', 'hi', { a: 1 }]]);
  other.emit('message', 'x'.repeat(100000));
  await told(socket, 'event_received', (n, i, a) => a[1] === '(100002 bytes)');

  other.disconnect();
  const gone = await told(socket, 'socket_disconnected');
  assert.deepEqual(gone.slice(0, 3), ['/', id, 'client namespace disconnect']);
  isDate(gone[3]);
  socket.disconnect();
});

test('sends, moves and disconnects', async () => {
  const socket = await ui(server.port);
  const [a, b] = [await client(server.port), await client(server.port)];
  socket.emit('join', '/', 'both');
  await told(socket, 'room_joined', (n, room, id) => room === 'both' && id === b.id);
  await told(socket, 'room_joined', (n, room, id) => room === 'both' && id === a.id);
  socket.emit('leave', '/', 'both', b.id);
  await told(socket, 'room_left', (n, room, id) => id === b.id);
  assert.deepEqual(await ask(b, 'rooms'), [b.id]);
  socket.emit('emit', '/', 'both', 'to a', 1, { two: [Buffer.from([3])] });
  assert.deepEqual((await told(a, 'to a')).slice(0, 2), [1, { two: [Buffer.from([3])] }]);
  socket.emit('emit', '/', null, 'to all');
  await told(a, 'to all');
  await told(b, 'to all');
  assert.equal(b.log.some(([name]) => name === 'to a'), false);

  const left = once(a, 'disconnect');
  socket.emit('_disconnect', '/', false, 'both');
  assert.equal((await soon(left, 'the end'))[0], 'io server disconnect');
  const cut = once(b, 'disconnect');
  socket.emit('_disconnect', '/', true, b.id);
  await soon(cut, 'the end');
  assert.equal(b.io.engine.readyState, 'closed');
  socket.disconnect();
});

test('passes over what makes no sense', async () => {
  const socket = await ui(server.port);
  const other = await client(server.port);
  for (const event of ['emit', 'join', 'leave', '_disconnect'])
    for (const args of [[], [1], [null, null], ['/nowhere', 'a', 'b'], ['/', 5, 6], ['/', {}, []],
      ['/', 'a\u0000b', 'connect'], ['\u0000', '/', '/'], ['/', null, 'disconnect', 1]])
      if (event !== '_disconnect' || typeof args[0] !== 'string' || args[0] !== '/')
        socket.emit(event, ...args);
  const id = await ask(other, 'whoami');
  assert.equal(id.id, other.id);
  assert.equal(socket.connected, true);
  for (const s of [other, socket]) s.disconnect();
});

test('refuses everybody else', async () => {
  const bad = [
    undefined, {}, { username: 'admin' }, { password: GOOD.password },
    { username: 1, password: 2 }, { sessionId: 'x'.repeat(20) }, { sessionId: {} },
    { username: [GOOD.username], password: [GOOD.password] },
  ];
  for (const auth of bad) assert.equal(await refusal(server.port, auth), 'invalid credentials');
});

test('stops listening to an address that fails again and again', async () => {
  const hit = await startServer('--admin', HASH);
  const bad = [
    { ...GOOD, password: 'open' }, { ...GOOD, password: `${GOOD.password}\u0000` },
    { ...GOOD, password: 'x'.repeat(100) }, { ...GOOD, username: 'Admin' },
    { ...GOOD, username: 'adminx' },
  ];
  for (const auth of bad) assert.equal(await refusal(hit.port, auth), 'invalid credentials');
  assert.equal(await refusal(hit.port, GOOD), 'too many attempts');
  await hit.stop();
});

test('ends while a password is looked at, and with a UI there', async () => {
  const slow = await startServer('--admin', HASH.replace('$04$', '$13$'));
  const waiting = dial(slow.port, '/admin', { auth: GOOD });
  const beside = await client(slow.port);
  await ask(beside, 'whoami'); // the loop is not held up
  await slow.stop();
  waiting.disconnect();
  beside.disconnect();

  const shown = await startServer('--admin', HASH);
  const socket = await ui(shown.port);
  const others = [await client(shown.port), await client(shown.port, '/custom')];
  await shown.stop();
  for (const s of [socket, ...others]) s.disconnect();
});

test('needs a bcrypt hash to start', async () => {
  await assert.rejects(startServer('--admin', 'open sesame'), /bcrypt/);
});

await run();
