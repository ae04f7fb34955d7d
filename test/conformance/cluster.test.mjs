#!/usr/bin/env node
// Servers that act as one through the classic channels of @socket.io/redis-adapter, the emitter
// of @socket.io/redis-emitter, and what else may be said on those channels.
// TEST_TIMEOUT: 300
import { encode } from 'notepack.io';
import { Emitter } from '@socket.io/redis-emitter';
import {
  Client, Cluster, clusterTests, faultTests, recoveryTests, skipWithoutRedis, until,
} from './cluster.mjs';
import { assert, run, test } from './lib.mjs';

skipWithoutRedis();

const cluster = await new Cluster().start('pubsub');
const redis = await cluster.redis.client();
const emitter = new Emitter(redis);

clusterTests(cluster);

/** One client on each of our servers, and what they heard up to a last word of the emitter. */
async function clientsOfOurs(nsp, ...rooms) {
  return Promise.all(cluster.ours.map((s) => new Client(s, nsp).join(...rooms)));
}

async function heardBy(clients, of = emitter) {
  const word = String(Math.random());
  of.emit('mark', word);
  await Promise.all(clients.map((c) => until('the last word', () =>
    c.heard.some((e) => e[0] === 'mark' && e[1] === word))));
  return clients.map((c) => c.take().filter((e) => e[0] !== 'mark'));
}

test('the emitter reaches clients', async () => {
  const clients = await clientsOfOurs('/', 'r1');
  await clients[1].call('join', 'r2');
  emitter.emit('news', 'all', { a: [1, 'é', null, true] });
  emitter.to('r1').emit('news', 'one room');
  emitter.to(['r1', 'r2']).emit('news', 'two rooms');
  emitter.in('r1').except('r2').emit('news', 'except');
  emitter.in(clients[0].id).emit('news', 'id');
  emitter.volatile.compress(false).emit('news', Buffer.from([1, 2]));
  const [a, b] = await heardBy(clients);
  const common = [['news', 'all', { a: [1, 'é', null, true] }], ['news', 'one room'],
    ['news', 'two rooms']];
  assert.deepEqual(a, [...common, ['news', 'except'], ['news', 'id'],
    ['news', Buffer.from([1, 2])]]);
  assert.deepEqual(b, [...common, ['news', Buffer.from([1, 2])]]);
  clients.forEach((c) => c.close());
});

test('the emitter reaches namespaces', async () => {
  const clients = await clientsOfOurs('/custom');
  const outside = await clientsOfOurs('/');
  emitter.of('/custom').emit('news', 1);
  for (const events of await heardBy(clients, emitter.of('/custom')))
    assert.deepEqual(events, [['news', 1]]);
  for (const events of await heardBy(outside)) assert.deepEqual(events, []);
  [...clients, ...outside].forEach((c) => c.close());
});

test('the emitter moves sockets and speaks to servers', async () => {
  const clients = await clientsOfOurs('/', 'base');
  const has = (room, wanted) => Promise.all(clients.map((c) => until(room, async () =>
    (await c.call('rooms'))[0].includes(room) === wanted)));
  emitter.in('base').socketsJoin(['e1', 'e2']);
  await has('e2', true);
  emitter.socketsLeave('e2');
  await has('e2', false);
  await has('e1', true);
  const side = clients.map((c) => c.next('side'));
  emitter.serverSideEmit('side', 'from the emitter', 1);
  for (const args of await Promise.all(side)) assert.deepEqual(args, ['from the emitter', 1]);
  const gone = clients.map((c) => c.next('disconnect'));
  emitter.in('base').disconnectSockets(true);
  for (const [reason] of await Promise.all(gone)) assert.equal(reason, 'io server disconnect');
});

// "/heard" is a namespace that only our servers have: a node server may not live through this.
const HEARD = ['socket.io#/heard#', 'socket.io-request#/heard#', 'socket.io-response#/heard#'];

function rubbish() {
  const bomb = Buffer.alloc(100000, 0x91);
  return [
    Buffer.alloc(0),
    Buffer.from('80049528000000000000008c05706f736978948c0673797374656d94', 'hex'), // pickle
    Buffer.from('ddffffffff', 'hex'), // an array of 4 G items
    Buffer.from('dfffffffffa161', 'hex'),
    bomb,
    Buffer.from(`${'['.repeat(50000)}`),
    Buffer.from('{"type":2,"opts":{"rooms":{}}}'),
    Buffer.from('{"type":6,"uid":"x","requestId":7,"data":{}}'),
    Buffer.from('{"type":99,"uid":"x","requestId":"q"}'),
    encode(['x', { type: 2, nsp: '/heard', data: 7 }, { rooms: [] }]),
    encode(['x', { type: 2, nsp: '/heard', data: ['disconnect'] }, { rooms: [] }]),
    encode(['x', { type: 0, nsp: '/heard', data: ['a'] }, { rooms: [] }]),
    encode(['x', { type: 2, nsp: '/heard', data: ['a'] }, { rooms: [{}] }]),
    encode(['x', { type: 2, nsp: '/', data: ['a'] }, { rooms: [] }]),
    encode({ type: 7, uid: 'x', requestId: 'q', packet: { type: 3 }, opts: {} }),
    encode({ type: 9, requestId: 'q', packet: Buffer.alloc(10) }),
    Buffer.alloc(6000000, 0x20),
  ];
}

test('rubbish is counted, and harms nobody', async () => {
  const clients = await clientsOfOurs('/heard');
  const before = await Promise.all(clients.map((c) => c.call('cluster')));
  for (const channel of HEARD)
    for (const body of rubbish()) await redis.publish(channel, body);
  emitter.of('/heard').emit('mark', 'end');
  await Promise.all(clients.map((c) => until('the end', () => c.heard.length > 0)));
  for (const [k, c] of clients.entries()) {
    const [now] = await c.call('cluster');
    assert.deepEqual(c.take(), [['mark', 'end']]);
    assert.equal(now.received - before[k][0].received, 3 * rubbish().length + 1);
    assert.ok(now.rejected - before[k][0].rejected > 20, JSON.stringify(now));
    assert.equal(now.up, true);
    c.close();
  }
  assert.equal(cluster.ours[0].child.exitCode, null);
});

test('what a server said itself, and what others do not mean for it, is passed over', async () => {
  const clients = await clientsOfOurs('/heard', 'room');
  const own = (await redis.pubSubChannels('socket.io-response#/heard#?*'))
    .map((channel) => channel.split('#')[2]);
  assert.equal(own.length, 2);
  const [before] = await clients[0].call('cluster');
  for (const uid of own)
    await redis.publish(HEARD[0],
      encode([uid, { type: 2, nsp: '/heard', data: ['news', uid] }, { rooms: [], except: [] }]));
  await redis.publish('socket.io#/heard#nobody-is-here#', Buffer.from('anything'));
  emitter.of('/heard').emit('mark', 'end');
  await Promise.all(clients.map((c) => until('the end', () => c.heard.at(-1)?.[0] === 'mark')));
  for (const c of clients) assert.equal(c.take().length, 2); // the other's, and the end
  const [now] = await clients[0].call('cluster');
  assert.equal(now.foreign - before.foreign, 1);
  assert.equal(now.rejected, before.rejected);
  clients.forEach((c) => c.close());
});

recoveryTests('pubsub');

faultTests(cluster);

await run();
