#!/usr/bin/env node
// Servers that act as one through the sharded channels of @socket.io/redis-adapter, "dynamic":
// who listens to which room, and what else may be said there.
// TEST_TIMEOUT: 300
import { encode } from 'notepack.io';
import ioV2 from 'socket.io-client-v2';
import {
  Client, Cluster, Redis, barrier, clusterTests, faultTests, listeners, pause, recoveryTests,
  skipWithoutRedis, until,
} from './cluster.mjs';
import { assert, freePort, run, startServer, test } from './lib.mjs';

skipWithoutRedis();

const cluster = await new Cluster().start('sharded');
const redis = await cluster.redis.client();

async function received(client) {
  return (await client.call('cluster'))[0].received;
}

clusterTests(cluster);

test('a room is heard where it has members', async () => {
  const [one, two, three] = await cluster.clients('/', 'here');
  await until('three of "here"', async () => (await listeners(redis, 'here')) === 3);
  assert.equal(await listeners(redis, 'only'), 0);
  await one.call('join', 'only');
  await until('one of "only"', async () => (await listeners(redis, 'only')) === 1);
  const before = await received(two);
  for (let i = 0; i < 10; i++) three.emit('in-room', 'only', 'news', i);
  for (let i = 0; i < 10; i++) one.emit('in-room', 'only', 'news', i);
  await until('all of them', () => one.heard.length === 20);
  one.take();
  await barrier([one, three], 'here'); // 2 marks that all hear
  two.take();
  assert.equal(await received(two) - before, 2);

  await two.call('join', 'only');
  await until('two of "only"', async () => (await listeners(redis, 'only')) === 2);
  three.emit('in-room', 'only', 'news', 'both');
  await Promise.all([one, two].map((c) => until('it', () => c.heard.length > 0)));
  await one.call('leave', 'only');
  two.close(); // the last member goes with its connection
  await until('none of "only"', async () => (await listeners(redis, 'only')) === 0);
  assert.ok(!(await redis.pubSubShardChannels()).includes('socket.io#/#only#'));
  assert.equal(await listeners(redis, one.id), 0);
  [one, three].forEach((c) => c.close());
});

test('who is moved into a room misses nothing that is said there next', async () => {
  const clients = await cluster.clients('/', 'movers');
  for (let i = 0; i < 20; i++) {
    clients[0].emit('sockets-join', 'movers', `moved-${i}`, () => {});
    clients[0].emit('in-room', `moved-${i}`, 'news', i);
    await Promise.all(clients.map((c) => until(`news ${i}`, () => c.heard.length > 0)));
    for (const c of clients) assert.deepEqual(c.take(), [['news', i]]);
  }
  clients.forEach((c) => c.close());
});

test('a client of Socket.IO 2 is sent to by its id', async () => {
  const old = await cluster.startOurs('old', '--allow-eio3');
  const client = ioV2(`http://127.0.0.1:${old.port}/custom`, { transports: ['websocket'],
    forceNew: true, reconnection: false });
  const others = await cluster.clients('/custom');
  const heard = [];
  client.on('news', (from) => heard.push(from));
  await until('the client', () => client.connected);
  assert.match(client.id, /^\/custom#/);
  await until('its channel', async () => (await listeners(redis, client.id, '/custom')) === 1);
  for (const [k, c] of others.entries()) c.emit('in-room', client.id, 'news', k);
  await until('all of them', () => heard.length >= others.length);
  assert.deepEqual(heard.sort(), [0, 1, 2]);
  const { id } = client;
  client.close();
  await until('no channel', async () => (await listeners(redis, id, '/custom')) === 0);
  others.forEach((c) => c.close());
  await old.stop();
});

// "/heard" is a namespace that only our servers have: a node server may not live through this.
const HEARD = 'socket.io#/heard#';

function message(type, data, uid = 'x', nsp = '/heard') {
  return { type, data, uid, nsp };
}

function rubbish() {
  const opts = { rooms: [], except: [], flags: {} };
  const bad = [
    message(0, {}), message(14, {}), message('3', { opts, packet: { type: 2, data: ['a'] } }),
    message(3, { opts }), message(3, { packet: { type: 2, data: ['a'] } }),
    message(3, { opts, packet: 7 }), message(3, { opts, packet: { type: 2, data: {} } }),
    message(3, { opts, packet: { type: 2, data: ['disconnect'] } }),
    message(3, { opts, packet: { type: 1 } }),
    message(3, { opts: { rooms: [{}] }, packet: { type: 2, data: ['a'] } }),
    message(4, { opts, rooms: {} }), message(7, { opts }), message(8, { requestId: 'q' }),
    message(9, {}), message(9, { packet: {} }), message(9, { packet: ['connect'] }),
    message(11, { requestId: 'q', clientCount: -1 }), message(12, { requestId: 7 }),
    { type: 3 }, {}, message(4, { opts, rooms: ['r'] }, { a: 1 }),
  ];
  return [
    Buffer.alloc(0),
    Buffer.from('80049528000000000000008c05706f736978948c0673797374656d94', 'hex'), // pickle
    Buffer.from('ddffffffff', 'hex'), // an array of 4 G items
    Buffer.from('dfffffffffa161', 'hex'),
    Buffer.alloc(100000, 0x91),
    Buffer.from(`{"a":${'['.repeat(50000)}`),
    Buffer.from('{"type":3,"data":{"packet":"\xff"}}', 'latin1'),
    Buffer.alloc(6000000, 0x20),
    ...bad.map((m) => Buffer.from(JSON.stringify(m))),
    ...bad.filter((m) => m.data).map((m) => encode({ ...m, data: { ...m.data } })),
  ];
}

test('rubbish is counted, and harms nobody', async () => {
  const clients = await Promise.all(cluster.ours.map((s) => new Client(s, '/heard')
    .join('room')));
  const own = (await redis.pubSubShardChannels(`${HEARD}?*`))
    .filter((name) => !name.endsWith('#room#'));
  assert.equal(own.length, 2);
  const before = await Promise.all(clients.map((c) => c.call('cluster')));
  const all = rubbish();
  for (const body of all) await redis.sPublish(HEARD, body);
  for (const body of all) for (const name of own) await redis.sPublish(name, body);
  for (const body of all) await redis.sPublish(`${HEARD}room#`, body);
  const mark = message(3, { opts: { rooms: [], except: [], flags: {} },
    packet: { type: 2, data: ['mark', 'end'] } });
  await redis.sPublish(HEARD, JSON.stringify(mark));
  await Promise.all(clients.map((c) => until('the end', () => c.heard.length > 0)));
  for (const [k, c] of clients.entries()) {
    const [now] = await c.call('cluster');
    assert.deepEqual(c.take(), [['mark', 'end']]);
    assert.equal(now.received - before[k][0].received, 3 * all.length + 1);
    assert.equal(now.rejected - before[k][0].rejected, 3 * all.length);
    assert.equal(now.up, true);
    c.close();
  }
});

test('what is said in the name of a server, or of another namespace, is passed over', async () => {
  const [one, two] = await Promise.all(cluster.ours.map((s) => new Client(s, '/heard')
    .join('room')));
  const uids = (await redis.pubSubShardChannels(`${HEARD}?*`)).map((name) => name.split('#')[2])
    .filter((uid) => uid !== 'room');
  const before = (await one.call('cluster'))[0];
  const event = { opts: { rooms: [], except: [], flags: {} },
    packet: { type: 2, data: ['news', 1] } };
  for (const uid of uids)
    await redis.sPublish(HEARD, JSON.stringify(message(3, event, uid)));
  await redis.sPublish(HEARD, JSON.stringify(message(3, event, 'x', '/')));
  for (const type of [1, 2, 13])
    await redis.sPublish(HEARD, JSON.stringify({ type, uid: 'x', nsp: '/heard' }));
  one.emit('in-room', 'room', 'mark', 'end');
  await Promise.all([one, two].map((c) => until('the end', () => c.heard.at(-1)?.[0] === 'mark')));
  for (const c of [one, two]) assert.equal(c.take().length, 2); // the other's, and the end
  const now = (await one.call('cluster'))[0];
  assert.equal(now.rejected, before.rejected);
  [one, two].forEach((c) => c.close());
});

test('with a Redis before 7 a server is alone, and serves', async () => {
  const old = await new Redis(await freePort()).start('--rename-command', 'SSUBSCRIBE', '');
  const server = await startServer('--redis', old.url, '--redis-mode', 'sharded');
  const [a, b] = await Promise.all([1, 2].map(() => new Client(server).join('room')));
  await pause(100); // so that it has refused
  a.emit('in-room', 'room', 'news', 1);
  assert.deepEqual(await b.next('news'), [1]);
  assert.equal((await a.call('fetch', 'room'))[0].length, 2);
  assert.equal((await a.call('cluster'))[0].up, false);
  [a, b].forEach((c) => c.close());
  await server.stop();
  await old.kill();
});

recoveryTests('sharded');

faultTests(cluster);

test('rooms are heard again after a Redis without memory of them', async () => {
  await cluster.settle();
  const clients = await cluster.clients('/', 'everywhere');
  await clients[1].call('join', 'kept');
  await until('one of "kept"', async () => (await listeners(redis, 'kept')) === 1);
  await cluster.redis.kill();
  await until('it to be missed', async () => !(await clients[1].call('cluster'))[0].up);
  await clients[1].call('join', 'meanwhile');
  await clients[1].call('leave', 'everywhere');
  await cluster.redis.start();
  await cluster.settle();
  await until('both rooms', async () =>
    (await listeners(redis, 'kept')) === 1 && (await listeners(redis, 'meanwhile')) === 1);
  clients[0].emit('in-room', 'kept', 'news', 1);
  clients[2].emit('in-room', 'meanwhile', 'news', 2);
  await until('both', () => clients[1].heard.filter((e) => e[0] === 'news').length === 2);
  clients.forEach((c) => c.close());
});

await run();
