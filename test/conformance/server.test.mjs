#!/usr/bin/env node
// What a server of the library can do beyond events and rooms, seen by the JavaScript
// clients 4.x and 3.x: namespaces that come to be, middleware, listeners, calls to many.
import { once } from 'node:events';
import { call, kinds, next, refusal } from './clients.mjs';
import { assert, run, soon, startServer, test } from './lib.mjs';

const { port } = await startServer('--connect-timeout', 400);
const ALL = kinds(4, 3);

const everyKind = (what, check) => {
  for (const kind of ALL) test(`${kind.name}: ${what}`, () => check(kind));
};

/** How many children the pattern has once that many are said, or after a while. */
async function children(socket, n) {
  let now;
  for (let i = 0; i < 100; i++) {
    [now] = await call(socket, 'children');
    if (now === n) break;
  }
  return now;
}

let name = 100;

everyKind('a namespace comes to be when it is joined, and goes with the last', async (kind) => {
  const watcher = await kind.join(port);
  const before = await children(watcher, 0);
  assert.equal(before, 0);
  const nsp = `/dyn-${name++}`;
  const [a, b] = [await kind.join(port, nsp), await kind.join(port, nsp)];
  const other = await kind.join(port, `/dyn-${name++}`);
  assert.equal(await children(watcher, 2), 2);
  assert.equal((await call(a, 'whoami'))[0].nsp, nsp);
  const heard = next(b, 'news');
  other.on('news', () => assert.fail('another namespace'));
  a.emit('broadcast', 'news', 7);
  assert.deepEqual(await heard, [7]);
  assert.deepEqual(await call(other, 'message-with-ack', 1), [1]);
  for (const socket of [a, b, other]) socket.disconnect();
  assert.equal(await children(watcher, 0), 0);
  watcher.disconnect();
});

everyKind('a name that does not match is no namespace', async (kind) => {
  for (const nsp of ['/dyn-', '/dyn-1x', '/xdyn-1', `/dyn-${'1'.repeat(300)}`])
    assert.equal((await refusal(kind.dial(port, nsp))).message, 'Invalid namespace');
});

everyKind('middleware may take its time', async (kind) => {
  const quick = await kind.join(port, '/slow', { auth: { delay: 0, accept: true } });
  assert.deepEqual(await call(quick, 'message-with-ack', 1), [1]);
  const slow = await kind.join(port, '/slow', { auth: { delay: 60, accept: true } });
  assert.deepEqual(await call(slow, 'message-with-ack', 2), [2]);
  const error = await refusal(kind.dial(port, '/slow', { auth: { delay: 60, accept: false } }));
  assert.equal(error.message, 'too slow');
  assert.equal(error.data, null);
  quick.disconnect();
  slow.disconnect();
});

everyKind('middleware that never ends is cut short, and who leaves meanwhile harms nobody',
  async (kind) => {
    const auth = { delay: 5000, accept: true };
    const socket = await kind.join(port);
    const late = socket.io.socket('/slow', { auth });
    assert.equal((await refusal(late)).message, 'Timed out');
    const leaver = kind.dial(port, '/slow', { auth: { delay: 100, accept: true } });
    await soon(once(leaver.io, 'open'), 'open');
    leaver.disconnect();
    assert.deepEqual(await call(socket, 'message-with-ack', 1), [1]);
    socket.disconnect();
  });

everyKind('event middleware answers instead of the handler', async (kind) => {
  const socket = await kind.join(port, '/strict');
  assert.deepEqual(await call(socket, 'forbidden', 1), ['not allowed']);
  assert.deepEqual(await call(socket, 'message-with-ack', 1), [1]);
  socket.disconnect();
});

everyKind('listeners hear what comes in and goes out', async (kind) => {
  const socket = await kind.join(port, '/heard');
  const other = await kind.join(port, '/heard');
  await call(socket, 'seen');
  await call(other, 'seen');
  const back = next(socket, 'message-back');
  socket.emit('message', Buffer.from('x'));
  await back;
  const told = next(other, 'news');
  socket.emit('broadcast', 'news', 1);
  await told;
  assert.deepEqual((await call(socket, 'seen'))[0], ['<message', '>message-back', '<broadcast']);
  assert.deepEqual((await call(other, 'seen'))[0], ['>news']);
  socket.disconnect();
  other.disconnect();
});

everyKind('a handler of one socket comes before its namespace\'s', async (kind) => {
  const [a, b] = [await kind.join(port), await kind.join(port)];
  assert.deepEqual(await call(a, 'arm'), [true]);
  assert.deepEqual(await call(b, 'once'), ['again']);
  assert.deepEqual(await call(a, 'once'), ['first']);
  assert.deepEqual(await call(a, 'once'), ['again']);
  a.disconnect();
  b.disconnect();
});

everyKind('a room is asked with one question, and a part of the answers comes in time',
  async (kind) => {
    const members = [await kind.join(port), await kind.join(port), await kind.join(port)];
    for (const socket of members) await call(socket, 'join', 'asked');
    for (const [i, socket] of members.entries())
      socket.on('question', (what, answer) => answer(`${what} ${i}`, 'more'));
    let answers = next(members[0], 'answers');
    members[0].emit('ask-room', 'asked', 5000);
    let [error, list] = await answers;
    assert.equal(error, null);
    assert.deepEqual(list.sort(), ['room 0', 'room 1', 'room 2']);
    members[1].off('question');
    answers = next(members[0], 'answers');
    members[0].emit('ask-room', 'asked', 50);
    [error, list] = await answers;
    assert.match(error, /timed out/);
    assert.deepEqual(list.sort(), ['room 0', 'room 2']);
    for (const socket of members) socket.disconnect();
  });

everyKind('all of a room join and leave another, and are listed', async (kind) => {
  const [a, b, c] = [await kind.join(port), await kind.join(port), await kind.join(port)];
  const room = `one-${name++}`;
  for (const socket of [a, b]) await call(socket, 'join', room);
  await call(c, 'sockets-join', room, `${room}-x`);
  assert.deepEqual((await call(a, 'rooms'))[0], [a.id, room, `${room}-x`]);
  assert.deepEqual((await call(c, 'fetch', `${room}-x`))[0].sort(), [a.id, b.id].sort());
  await call(c, 'sockets-leave', room, `${room}-x`);
  assert.deepEqual(await call(c, 'fetch', `${room}-x`), [[]]);
  const gone = Promise.all([once(a, 'disconnect'), once(b, 'disconnect')]);
  c.emit('disconnect-room', room);
  for (const [reason] of await soon(gone, 'disconnect'))
    assert.equal(reason, 'io server disconnect');
  assert.ok(c.connected);
  c.disconnect();
});

everyKind('alone, local is everybody here, and nobody answers a side emit', async (kind) => {
  const [a, b] = [await kind.join(port, '/custom'), await kind.join(port, '/custom')];
  const heard = Promise.all([next(a, 'near'), next(b, 'near')]);
  a.emit('local', 'near', 1);
  assert.deepEqual(await heard, [[1], [1]]);
  assert.deepEqual(await call(a, 'side-emit', 1), [null, []]);
  a.disconnect();
  b.disconnect();
});

await run();
