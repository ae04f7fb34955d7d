#!/usr/bin/env node
// The sharded channels of @socket.io/redis-adapter in subscription mode "static": what is for a
// room goes to all servers.
// TEST_TIMEOUT: 300
import { Cluster, barrier, clusterTests, listeners, recoveryTests, skipWithoutRedis } from './cluster.mjs';
import { assert, run, test } from './lib.mjs';

skipWithoutRedis();

const cluster = await new Cluster().start('sharded', 'static');
const redis = await cluster.redis.client();

clusterTests(cluster);

test('no room has a channel', async () => {
  const clients = await cluster.clients('/', 'r');
  await barrier(clients, 'r');
  assert.equal(await listeners(redis, ''), 3);
  assert.equal(await listeners(redis, 'r'), 0);
  for (const c of clients) assert.equal(await listeners(redis, c.id), 0);
  clients.forEach((c) => c.close());
});

recoveryTests('sharded', 'static');

await run();
