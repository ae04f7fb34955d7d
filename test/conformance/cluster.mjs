// Servers that act as one: two of ours and one of node on a Redis of their own, with JavaScript
// and Python clients on each.  What holds in each mode; each mode has a suite that calls this.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createClient } from 'redis';
import { Manager } from 'socket.io-client';
import { assert, freePort, soon, startServer, test } from './lib.mjs';

const FIXTURES = join(process.env.TOP, 'test', 'fixtures');
const ANSWER_MS = 300; // of other servers, where one will not answer

/** A program of somebody else's, which ends with the suite. */
const programs = new Set();
function start(command, args) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  child.ended = once(child, 'exit');
  programs.add(child);
  child.ended.then(() => programs.delete(child));
  return child;
}
process.on('exit', () => programs.forEach((p) => p.kill('SIGKILL')));

export class Redis {
  constructor(port) {
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
    this.folder = mkdtempSync(join(tmpdir(), 'cluster-'));
    process.on('exit', () => rmSync(this.folder, { recursive: true, force: true }));
  }

  async start(...options) {
    this.child = start('redis-server', ['--port', String(this.port), '--bind', '127.0.0.1',
      '--dir', this.folder, '--save', '', '--daemonize', 'no', ...options]);
    for await (const line of createInterface({ input: this.child.stdout }))
      if (line.includes('Ready to accept')) break;
    this.child.stdout.resume();
    return this;
  }

  async client() {
    const client = createClient({ url: this.url });
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.child.ended;
  }
}

/** How many listen to the sharded channel of a room; "": that of all. */
export async function listeners(redis, room, nsp = '/') {
  const channel = `socket.io#${nsp}#${room}${room && '#'}`;
  return (await redis.pubSubShardNumSub([channel]))[channel];
}

/** Where Redis or its client library is not there, there is nothing to be tested. */
export function skipWithoutRedis() {
  const none = spawnSync(process.env.CONFORMANCE, ['--port', '0', '--redis', 'redis://['],
    { encoding: 'utf8' });
  const missing = spawnSync('redis-server', ['--version']).error;
  if (!missing && !none.stderr.includes('built without Redis')) return;
  console.log(missing ? 'redis-server is not installed' : 'built without Redis');
  process.exit(77);
}

/** A client with all that it heard. */
export class Client {
  constructor(server, nsp = '/', options = {}) {
    this.server = server;
    this.heard = [];
    this.socket = new Manager(`http://127.0.0.1:${server.port}`, {
      transports: ['websocket'], reconnection: false, ...options,
    }).socket(nsp);
    this.socket.onAny((...event) => {
      if (event[0] !== 'auth') this.heard.push(event.filter((a) => typeof a !== 'function'));
    });
  }

  async join(...rooms) {
    await soon(once(this.socket, 'auth'), 'auth');
    for (const room of rooms) await this.call('join', room);
    return this;
  }

  get id() {
    return this.socket.id;
  }

  emit(...args) {
    this.socket.emit(...args);
  }

  call(...args) {
    const done = new Promise((resolve) => this.socket.emit(...args, (...a) => resolve(a)));
    return soon(done, `the answer to ${args[0]}`, 10000);
  }

  next(event) {
    return soon(new Promise((resolve) => this.socket.once(event, (...a) => resolve(a))), event);
  }

  /** What it heard since the last time. */
  take() {
    return this.heard.splice(0);
  }

  close() {
    this.socket.disconnect();
  }
}

/** The same in Python, in a room. */
class PythonClient {
  constructor(server, room) {
    this.child = start('/usr/bin/python3', [join(FIXTURES, 'cluster_client.py'),
      `http://127.0.0.1:${server.port}`, room]);
    this.heard = [];
    this.wake = () => {};
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      this.heard.push(JSON.parse(line));
      this.wake();
    });
  }

  /** What it has heard once it has heard all of these. */
  async until(...events) {
    const texts = events.map((e) => JSON.stringify(e));
    const found = new Promise((resolve) => {
      this.wake = () => {
        const heard = this.heard.map((e) => JSON.stringify(e));
        if (texts.every((t) => heard.includes(t))) resolve();
      };
      this.wake();
    });
    await soon(found, `${texts} in Python`, 20000);
    return this.heard.splice(0);
  }

  close() {
    this.child.kill();
  }
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks again until it is so. */
export async function until(what, probe, ms = 15000) {
  const end = Date.now() + ms;
  while (!(await probe())) {
    assert.ok(Date.now() < end, `waited too long for ${what}`);
    await pause(20);
  }
}

export class Cluster {
  async start(mode, subscriptions = 'dynamic') {
    this.mode = mode;
    this.subscriptions = subscriptions;
    this.redis = await new Redis(await freePort()).start();
    this.ours = [];
    for (const name of ['one', 'two']) this.ours.push(await this.startOurs(name));
    this.node = await this.startNode('three');
    this.servers = [...this.ours, this.node];
    await this.settle();
    return this;
  }

  async startOurs(name, ...options) {
    const server = await startServer('--redis', this.redis.url, '--redis-mode', this.mode,
      '--redis-subscriptions', this.subscriptions, '--redis-timeout', ANSWER_MS, '--name', name, ...options);
    return Object.assign(server, { name });
  }

  async startNode(name) {
    const port = await freePort();
    const child = start(process.execPath, [join(FIXTURES, 'cluster_server.mjs'), String(port),
      this.redis.url, this.mode, name, this.subscriptions]);
    await soon(once(child.stdout, 'data'), 'the node server', 20000);
    child.stdout.resume();
    return { port, child, name };
  }

  /** All servers hear each other. */
  async settle(nsp = '/') {
    for (const server of this.servers) {
      const client = await new Client(server, nsp).join();
      await until(`${server.name} to hear the others`, async () => {
        const [error, names] = await client.call('side-emit', 'settle');
        return error === null && names.length === this.servers.length - 1;
      });
      client.close();
    }
  }

  /** One client on each server, in the rooms; all servers hear what is sent there. */
  async clients(nsp, ...rooms) {
    const clients = await Promise.all(this.servers.map((s) => new Client(s, nsp).join(...rooms)));
    if (this.mode === 'sharded' && this.subscriptions !== 'static')
      for (const room of rooms) await this.listening(nsp, room);
    return clients;
  }

  /** Node's server loses what is sent to a room before Redis has its SSUBSCRIBE. */
  async listening(nsp, room) {
    const redis = await this.redis.client();
    await until(`all servers to listen to ${room}`, async () =>
      (await listeners(redis, room, nsp)) === this.servers.length);
    await redis.quit();
  }
}

/**
 * Lets one client of each server tell all that it is done.  Messages of a server come in
 * order, so each has heard everything before.
 */
export async function barrier(clients, room) {
  const word = String(Math.random());
  const all = clients.map((c) => until('the end', () =>
    c.heard.filter((e) => e[0] === 'mark' && e[1] === word).length === clients.length));
  for (const c of clients) c.emit('in-room', room, 'mark', word);
  await Promise.all(all);
}

function withoutMarks(events) {
  return events.filter((e) => e[0] !== 'mark');
}

/** What each heard, marks left out. */
async function heardBy(clients, room) {
  await barrier(clients, room);
  return clients.map((c) => withoutMarks(c.take()));
}

function closeAll(clients) {
  clients.forEach((c) => c.close());
}

/** Defines the tests. */
export function clusterTests(cluster) {
  test('servers say that they can', async () => {
    for (const client of await cluster.clients('/')) {
      const [{ features }] = await client.call('contract');
      assert.ok(features.includes('cluster'));
      client.close();
    }
  });

  test('each broadcast reaches each client once, in order', async () => {
    const clients = await cluster.clients('/', 'order');
    const blob = Buffer.alloc(70000, 7);
    const n = 50;
    for (let i = 0; i < n; i++)
      for (const [k, c] of clients.entries())
        c.emit('broadcast', i % 10 ? 'news' : 'blob', k, i, ...(i % 10 ? [] : [{ blob }]));
    const heard = await heardBy(clients, 'order');
    for (const [k, events] of heard.entries())
      for (let from = 0; from < clients.length; from++) {
        const mine = events.filter((e) => e[1] === from);
        assert.deepEqual(mine.map((e) => e[2]),
          from === k ? [] : Array.from({ length: n }, (_, i) => i), `${from} to ${k}`);
        for (const e of mine.filter((m) => m[0] === 'blob')) assert.ok(blob.equals(e[3].blob));
      }
    closeAll(clients);
  });

  test('a client that polls hears them, too', async () => {
    const clients = await cluster.clients('/', 'poll');
    const polling = await new Client(cluster.ours[1], '/', { transports: ['polling'] })
      .join('poll');
    for (const c of clients) c.emit('in-room', 'poll', 'news', Buffer.from([1, 2, 3]));
    await until('three', () => polling.heard.length === 3);
    for (const [name, bytes] of polling.take()) {
      assert.equal(name, 'news');
      assert.ok(Buffer.from([1, 2, 3]).equals(bytes));
    }
    closeAll([...clients, polling]);
  });

  test('Python clients hear them', async () => {
    const clients = await cluster.clients('/', 'python');
    const python = cluster.servers.map((s) => new PythonClient(s, 'python'));
    await Promise.all(python.map((p) => p.until(['joined'])));
    await barrier(clients, 'python');
    for (const [k, c] of clients.entries()) {
      c.emit('in-room', 'python', 'news', k, 'text \u00e9 "\\');
      c.emit('in-room', 'python', 'blob', k, Buffer.from([0, 255]));
      c.emit('in-room', 'python', 'mark', k);
    }
    for (const p of python) {
      const heard = await p.until(...clients.map((_, k) => ['mark', k]));
      for (const k of clients.keys())
        assert.deepEqual(heard.filter((e) => e[1] === k), [
          ['news', k, 'text \u00e9 "\\'], ['blob', k, { bytes: '00ff' }], ['mark', k]]);
    }
    closeAll([...clients, ...python]);
  });

  test('rooms hold on all servers', async () => {
    const clients = await cluster.clients('/', 'all');
    const others = await cluster.clients('/', 'all', 'some', 'r#oom/*?[');
    const everyone = [...clients, ...others];
    for (const [k, from] of clients.entries()) {
      from.emit('to-room', 'some', 'news', k);
      from.emit('to-room', ['some', 'r#oom/*?['], 'news', 'once');
      from.emit('in-room', 'r#oom/*?[', 'news', 'odd');
      from.emit('to-except', 'all', 'some', 'news', 'rest');
      from.emit('in-room', others[2].id, 'news', 'one');
      from.emit('in-room', 'nobody', 'news', 'lost');
      const heard = await heardBy(everyone, 'all');
      for (const [i] of clients.entries())
        assert.deepEqual(heard[i], i === k ? [] : [['news', 'rest']], `${k}: client ${i}`);
      for (const [i] of others.entries())
        assert.deepEqual(heard[clients.length + i], [['news', k], ['news', 'once'],
          ['news', 'odd'], ...(i === 2 ? [['news', 'one']] : [])], `${k}: other ${i}`);
    }
    closeAll(everyone);
  });

  test('a room is heard of from the moment that somebody has joined it', async () => {
    const clients = await cluster.clients('/');
    for (let i = 0; i < 20; i++) {
      const room = `quick-${i}`;
      for (const c of clients) await c.call('join', room);
      await until('all to be heard of', async () =>
        (await clients[0].call('fetch', room))[0].length === clients.length);
      clients[i % clients.length].emit('in-room', room, 'news', i);
      await Promise.all(clients.map((c) => until('the news', () => c.heard.length > 0)));
      for (const c of clients) assert.deepEqual(c.take(), [['news', i]]);
      for (const c of clients) await c.call('leave', room);
    }
    closeAll(clients);
  });

  test('a local broadcast stays', async () => {
    const clients = await cluster.clients('/', 'near');
    for (const [k, from] of clients.entries()) {
      from.emit('local', 'news', k);
      const heard = await heardBy(clients, 'near');
      for (const [i, events] of heard.entries())
        assert.deepEqual(events, i === k ? [['news', k]] : []);
    }
    closeAll(clients);
  });

  test('sockets of all servers join and leave', async () => {
    const clients = await cluster.clients('/', 'base');
    for (const from of clients) {
      await from.call('sockets-join', 'base', 'more');
      for (const c of clients)
        await until('the room', async () => (await c.call('rooms'))[0].includes('more'));
      await from.call('sockets-leave', 'base', 'more');
      for (const c of clients)
        await until('no room', async () => !(await c.call('rooms'))[0].includes('more'));
    }
    closeAll(clients);
  });

  test('sockets of all servers are listed', async () => {
    const clients = await cluster.clients('/', 'listed');
    const ids = clients.map((c) => c.id).sort();
    for (const from of clients) {
      assert.deepEqual((await from.call('fetch', 'listed'))[0].sort(), ids);
      assert.deepEqual((await from.call('fetch', 'nobody'))[0], []);
    }
    closeAll(clients);
  });

  test('sockets of all servers are disconnected', async () => {
    for (const k of cluster.servers.keys()) {
      const clients = await cluster.clients('/');
      const others = await cluster.clients('/', 'gone');
      const gone = others.map((c) => c.next('disconnect'));
      clients[k].emit('disconnect-room', 'gone');
      for (const reason of await Promise.all(gone))
        assert.equal(reason[0], 'io server disconnect');
      assert.ok(clients.every((c) => c.socket.connected));
      closeAll(clients);
    }
  });

  test('answers of all clients are collected', async () => {
    const clients = await cluster.clients('/', 'asked');
    for (const [k, c] of clients.entries()) c.socket.on('question', (_, ack) => ack(`c${k}`));
    for (const from of clients) {
      from.emit('ask-room', 'asked', 5000);
      const [error, answers] = await from.next('answers');
      assert.equal(error, null);
      assert.deepEqual(answers.sort(), ['c0', 'c1', 'c2']);
      from.emit('ask-room', 'nobody', 5000);
      assert.deepEqual(await from.next('answers'), [null, []]);
    }
    closeAll(clients);
  });

  test('answers that came in time count', async () => {
    const clients = await cluster.clients('/', 'slow');
    const silent = await new Client(cluster.ours[1]).join('slow');
    for (const [k, c] of clients.entries()) c.socket.on('question', (_, ack) => ack(k));
    for (const from of clients) {
      from.emit('ask-room', 'slow', 400);
      const [error, answers] = await from.next('answers');
      assert.equal(error, 'operation has timed out');
      assert.deepEqual(answers.sort(), [0, 1, 2]);
    }
    closeAll([...clients, silent]);
  });

  test('servers speak to each other', async () => {
    const clients = await cluster.clients('/');
    const names = cluster.servers.map((s) => s.name);
    for (const [k, from] of clients.entries()) {
      const heard = clients.map((c, i) => (i === k ? null : c.next('side')));
      const [error, answers] = await from.call('side-emit', 'x', { a: [1, null] });
      assert.equal(error, null);
      assert.deepEqual(answers.sort(), names.filter((_, i) => i !== k).sort());
      for (const h of heard.filter((p) => p))
        assert.deepEqual(await h, ['x', { a: [1, null] }]);
    }
    assert.ok(clients.every((c) => c.take().length === 2));
    closeAll(clients);
  });

  test('namespaces are apart, and may come and go', async () => {
    // The last two have a channel in common, which Node leaves with the first who does: once.
    for (const [nsp, other] of [['/custom', '/'], ['/dyn-7', '/'], ['/dyn-7', '/'],
      ['/dyn-8#room', '/dyn-8']]) {
      const outside = await cluster.clients(other, 'room');
      const clients = await cluster.clients(nsp, 'room');
      await until('the servers to hear each other', async () => {
        const all = await Promise.all(clients.map((c) => c.call('side-emit', 'hello')));
        return all.every(([error, names]) => error === null && names.length === 2);
      });
      for (const c of clients) c.take();
      for (const [k, c] of clients.entries()) c.emit('in-room', 'room', 'news', k);
      const heard = await heardBy(clients, 'room');
      for (const events of heard)
        assert.deepEqual(events.filter((e) => e[0] === 'news').map((e) => e[1]).sort(),
          [0, 1, 2]); // a "side" may be late
      assert.ok(outside.every((c) => c.take().length === 0));
      closeAll([...clients, ...outside]);
    }
  });
}

/** Who comes back has what other servers sent meanwhile, also to a room he was alone in here. */
export function recoveryTests(mode, subscriptions = 'dynamic') {
  test('what other servers send to who is away is kept', async () => {
    const redis = await new Redis(await freePort()).start();
    const [a, b] = await Promise.all(['a', 'b'].map((name) => startServer('--redis', redis.url,
      '--redis-mode', mode, '--redis-subscriptions', subscriptions, '--name', name,
      '--recovery=60000')));
    const other = await new Client(b).join();
    const client = await new Client(a, '/', { reconnection: true, reconnectionDelay: 500,
      randomizationFactor: 0 }).join('alone');
    await until('each other', async () => (await other.call('side-emit', 'x'))[1].length === 1);
    await until('the first', async () => {
      other.emit('in-room', 'alone', 'news', 0);
      return client.heard.some((e) => e[0] === 'news');
    });
    const back = once(client.socket, 'connect');
    client.socket.io.engine.close();
    await until('it to be missed', async () => (await other.call('fetch', 'alone'))[0].length === 0);
    for (let i = 1; i <= 3; i++) other.emit('in-room', 'alone', 'news', i);
    await soon(back, 'the client', 20000);
    assert.equal(client.socket.recovered, true);
    other.emit('in-room', 'alone', 'news', 4);
    await until('all', () => client.heard.some((e) => e[1] === 4));
    assert.deepEqual(client.take().map((e) => e[1]).filter((n) => n > 0), [1, 2, 3, 4]);
    closeAll([client, other]);
    await Promise.all([a.stop(), b.stop(), redis.kill()]);
  });
}

/** Redis stops, goes and comes back; last, for it leaves nothing as it was. */
export function faultTests(cluster) {
  test('a Redis that hangs delays nobody', async () => {
    const clients = await Promise.all(cluster.ours.map((s) => new Client(s).join('hung')));
    const near = await new Client(cluster.ours[0]).join('hung');
    await barrier([...clients, near], 'hung');
    for (const c of [...clients, near]) c.take();
    cluster.redis.child.kill('SIGSTOP');
    for (let i = 0; i < 100; i++) clients[0].emit('in-room', 'hung', 'news', i);
    await until('all of this server', () => near.heard.length === 100, 5000);
    assert.deepEqual(near.take().map((e) => e[1]), Array.from({ length: 100 }, (_, i) => i));
    assert.deepEqual((await clients[0].call('fetch', 'hung'))[0].sort(),
      [clients[0].id, near.id].sort());
    clients[0].emit('ask-room', 'nobody', 200);
    assert.deepEqual(await clients[0].next('answers'), ['operation has timed out', []]);
    cluster.redis.child.kill('SIGCONT');
    await until('the others', async () => {
      clients[0].emit('in-room', 'hung', 'mark', 1);
      return clients[1].heard.some((e) => e[0] === 'mark');
    });
    await cluster.settle();
    closeAll([...clients, near]);
  });

  test('a Redis that goes and comes back is used again', async () => {
    const clients = await cluster.clients('/', 'again');
    const near = await new Client(cluster.ours[0]).join('again');
    await cluster.redis.kill();
    await until('it to be missed', async () => !(await near.call('cluster'))[0].up);
    clients[0].emit('in-room', 'again', 'news', 'alone');
    assert.deepEqual(await near.next('news'), ['alone']);
    assert.equal((await clients[0].call('fetch', 'again'))[0].length, 2);
    const [error, names] = await clients[0].call('side-emit', 'x');
    assert.notEqual(error, null);
    assert.deepEqual(names, []);
    await cluster.redis.start();
    await cluster.settle();
    for (const c of [...clients, near]) c.take();
    const heard = await heardBy([...clients, near], 'again');
    assert.ok(heard.every((events) => events.length === 0));
    assert.ok((await near.call('cluster'))[0].dropped > 0);
    closeAll([...clients, near]);
  });
}
