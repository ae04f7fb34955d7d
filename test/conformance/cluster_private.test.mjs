#!/usr/bin/env node
// The sharded channels of @socket.io/redis-adapter in subscription mode "dynamic-private": each
// socket's id has one, too.
// TEST_TIMEOUT: 300
import {
  Client, Cluster, barrier, clusterTests, listeners, recoveryTests, skipWithoutRedis, until,
} from './cluster.mjs';
import { assert, run, test } from './lib.mjs';

skipWithoutRedis();

const cluster = await new Cluster().start('sharded', 'dynamic-private');
const redis = await cluster.redis.client();

clusterTests(cluster);

test('a socket is sent to on a channel of its own', async () => {
  const clients = await cluster.clients('/', 'r');
  const [one, two, three] = clients;
  for (const c of clients)
    await until('its channel', async () => (await listeners(redis, c.id)) === 1);
  await barrier(clients, 'r');
  const before = (await two.call('cluster'))[0].received;
  for (let i = 0; i < 5; i++) three.emit('in-room', one.id, 'news', i);
  await until('all of them', () => one.heard.filter((e) => e[0] === 'news').length === 5);
  for (let i = 0; i < 5; i++) one.emit('in-room', three.id, 'news', i);
  await until('all of them', () => three.heard.filter((e) => e[0] === 'news').length === 5);
  assert.equal((await two.call('cluster'))[0].received, before);
  const ids = clients.map((c) => c.id);
  clients.forEach((c) => c.close());
  for (const id of ids) await until('no channel', async () => (await listeners(redis, id)) === 0);
});

test("another's id may be a room", async () => {
  const [one, two] = await cluster.clients('/');
  const near = await new Client(cluster.ours[0]).join();
  const { id } = near;
  await one.call('join', id);
  two.emit('in-room', id, 'news', 1);
  await Promise.all([one, near].map((c) => until('it', () => c.heard.length > 0)));
  near.close();
  await until('it to go', async () => (await two.call('fetch', id))[0].length === 1);
  two.emit('in-room', id, 'news', 2);
  await until('both', () => one.heard.length === 2);
  assert.deepEqual(one.take(), [['news', 1], ['news', 2]]);
  one.close();
  await until('nobody', async () => (await listeners(redis, id)) === 0);
  two.close();
});

recoveryTests('sharded', 'dynamic-private');

await run();
