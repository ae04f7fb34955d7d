#!/usr/bin/env node
// --parser msgpack: the JavaScript client with socket.io-msgpack-parser, over polling only,
// WebSocket only, and with upgrade; and what only raw bytes can say.
import { once } from 'node:events';
import { io } from 'socket.io-client';
import parser from 'socket.io-msgpack-parser';
import { assert, openWs, Polling, run, soon, startServer, test } from './lib.mjs';

const { port } = await startServer('--parser', 'msgpack', '--max-payload', 2000000);

const TRANSPORTS = {
  polling: ['polling'],
  websocket: ['websocket'],
  upgrade: ['polling', 'websocket'],
};

function dial(transports, nsp = '/', options = {}) {
  return io(`http://127.0.0.1:${port}${nsp}`,
    { parser, transports, forceNew: true, reconnection: false, ...options });
}

async function join(transports, nsp = '/', options = {}) {
  const socket = dial(transports, nsp, options);
  const auth = once(socket, 'auth');
  await soon(once(socket, 'connect'), 'connect');
  socket.greeting = (await soon(auth, 'auth'))[0];
  if (transports.length > 1 && socket.io.engine.transport.name !== 'websocket')
    await soon(once(socket.io.engine, 'upgrade'), 'the upgrade');
  return socket;
}

const next = (socket, event) => soon(once(socket, event), event);

const ask = (socket, event, ...args) =>
  soon(new Promise((r) => socket.emit(event, ...args, (...answer) => r(answer))), event);

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  test(`${name}: auth, namespaces, events and acks carry any arguments`, async () => {
    const args = [1, '2', { 3: [true, null, -1.5e-7] }, '\u0000\u2028😀', [], {}, 123456789012,
      -129, 2 ** 53 - 1, -(2 ** 53 - 1), 'x'.repeat(70000), Array.from({ length: 70000 }, (_, i) => i)];
    for (const nsp of ['/', '/custom']) {
      const socket = await join(transports, nsp, { auth: { token: 'é', n: [1, null] } });
      assert.deepEqual(socket.greeting, { token: 'é', n: [1, null] });
      const back = next(socket, 'message-back');
      socket.emit('message', ...args);
      assert.deepEqual(await back, args);
      assert.deepEqual(await ask(socket, 'message-with-ack', ...args), args);
      assert.deepEqual(await ask(socket, 'message-with-ack'), []);
      socket.disconnect();
    }
  });

  test(`${name}: binary goes both ways, in events and acks`, async () => {
    const socket = await join(transports);
    const large = Buffer.alloc(200000, 7);
    const args = [Buffer.from([0, 1, 2, 255]), { deep: [large, 'text', Buffer.alloc(0)] },
      Array.from({ length: 20 }, (_, i) => Buffer.from([i]))];
    const back = next(socket, 'message-back');
    socket.emit('message', ...args);
    assert.deepEqual(await back, args);
    assert.deepEqual(await ask(socket, 'message-with-ack', ...args), args);
    const out = next(socket, 'bin');
    socket.emit('binary-out');
    const [object, empty] = await out;
    assert.deepEqual(object.a, Buffer.from([0, 1, 2]));
    assert.equal(object.list[1].length, 1000);
    assert.equal(empty.length, 0);
    socket.disconnect();
  });

  test(`${name}: what JSON does not have`, async () => {
    const socket = await join(transports);
    const bytes = new Uint8Array([1, 2, 3]);
    const lookalike = { _placeholder: true, num: 0 };
    assert.deepEqual(
      await ask(socket, 'message-with-ack', new Date(1e12), NaN, [undefined],
        { a: undefined, b: 1 }, lookalike),
      ['2001-09-09T01:46:40.000Z', null, [null], { b: 1 }, lookalike]);
    assert.deepEqual(await ask(socket, 'message-with-ack', bytes.buffer), [Buffer.from(bytes)]);
    socket.disconnect();
  });

  test(`${name}: the server asks, and refuses`, async () => {
    const socket = await join(transports);
    socket.on('question', (...args) => args.at(-1)(Buffer.from('so'), ...args.slice(0, -1)));
    const answered = next(socket, 'answer');
    socket.emit('ask', 'what', 1);
    assert.deepEqual(await answered, [Buffer.from('so'), 'what', 1]);
    const refused = dial(transports, '/restricted', { auth: { token: 'wrong' } });
    const [error] = await next(refused, 'connect_error');
    assert.equal(error.message, 'unauthorized');
    assert.deepEqual(error.data, { code: 'E_AUTH' });
    const unknown = dial(transports, '/nowhere');
    assert.equal((await next(unknown, 'connect_error'))[0].message, 'Invalid namespace');
    const left = next(socket, 'disconnect');
    socket.emit('kick');
    assert.equal((await left)[0], 'io server disconnect');
    for (const s of [refused, unknown, socket]) s.disconnect();
  });

  test(`${name}: rooms, and bursts in order`, async () => {
    const [a, b] = [await join(transports), await join(transports)];
    await ask(b, 'join', 'room');
    const heard = next(b, 'word');
    a.emit('to-room', 'room', 'word', Buffer.from('x'), 1);
    assert.deepEqual(await heard, [Buffer.from('x'), 1]);
    const seen = [];
    const all = new Promise((r) => b.on('burst', (i) => (seen.push(i), i === 499 && r())));
    b.emit('burst', 500, 100);
    await soon(all, 'the burst');
    assert.deepEqual(seen, Array.from({ length: 500 }, (_, i) => i));
    for (const s of [a, b]) s.disconnect();
  });
}

test('order is kept while the transport is changed', async () => {
  const socket = dial(['polling', 'websocket']);
  await next(socket, 'connect');
  const seen = [];
  const all = new Promise((r) => socket.on('message-back', (i) => (seen.push(i), i === 299 && r())));
  for (let i = 0; i < 300; i++) {
    socket.emit('message', i, Buffer.from([i & 255]));
    if (i % 10 === 0) await new Promise(setImmediate);
  }
  await soon(all, 'all echoes');
  assert.deepEqual(seen, Array.from({ length: 300 }, (_, i) => i));
  socket.disconnect();
});

const packed = (packet) => new parser.Encoder().encode(packet)[0];

test('binary packets come as base64 over polling', async () => {
  const session = await new Polling(port).open();
  await session.send(`b${packed({ type: 0, nsp: '/' }).toString('base64')}`);
  const reply = await session.next();
  assert.equal(reply[0], 'b');
  const connect = Buffer.from(reply.slice(1), 'base64');
  assert.equal(connect[0] >> 4, 8, 'a map');
  assert.ok(connect.includes('sid'));
});

const VIOLATIONS = {
  'text': '40',
  'no map': Buffer.from([0x90]),
  'cut off': packed({ type: 0, nsp: '/' }).subarray(0, 8),
  'more behind it': Buffer.concat([packed({ type: 0, nsp: '/' }), Buffer.from([0])]),
  'an unknown type': packed({ type: 5, nsp: '/', data: ['a'] }),
  'a type that is no number': packed({ type: '0', nsp: '/' }),
  'no namespace': packed({ type: 0 }),
  'auth that is no object': packed({ type: 0, nsp: '/custom', data: 7 }),
  'a namespace twice': packed({ type: 0, nsp: '/' }),
  'an event without a name': packed({ type: 2, nsp: '/', data: [] }),
  'a reserved name': packed({ type: 2, nsp: '/', data: ['disconnect'] }),
  'an id below 0': packed({ type: 2, nsp: '/', data: ['a'], id: -1 }),
  'CONNECT_ERROR': packed({ type: 4, nsp: '/', data: 'no' }),
  'a namespace not joined': packed({ type: 2, nsp: '/custom', data: ['a'] }),
  'too many attachments': packed({ type: 2, nsp: '/', data: ['a', ...Array(257).fill(Buffer.alloc(1))] }),
  'a count that is a lie': Buffer.from([0xdf, 0xff, 0xff, 0xff, 0xff]),
  'nesting': packed({ type: 2, nsp: '/', data: ['a', Array(1000).fill(0).reduce((x) => [x], 0)] }),
};

for (const [name, packet] of Object.entries(VIOLATIONS))
  test(`closes on ${name}`, async () => {
    const ws = await openWs(port);
    ws.send(packed({ type: 0, nsp: '/' }));
    for (let i = 0; i < 2; i++) assert.ok(Buffer.isBuffer(await ws.next()), 'CONNECT and auth');
    ws.send(packet);
    assert.equal(await ws.closeCode(), 1000);
  });

test('who joined still joins', async () => {
  const socket = await join(['websocket']);
  assert.deepEqual(await ask(socket, 'message-with-ack', 1), [1]);
  socket.disconnect();
});

await run();
