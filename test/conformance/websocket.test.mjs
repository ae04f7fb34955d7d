#!/usr/bin/env node
// WebSocket framing (RFC 6455): what is served, and the close code of each violation.
import { assert, frame, openWs, run, startServer, test } from './lib.mjs';

const PATH = '/engine.io/';
const { port } = await startServer('--raw-engine');
const witness = await openWs(port, PATH);

const open = () => openWs(port, PATH);

/** The bytes end the connection with this code; another client goes on. */
async function closesWith(code, ...bytes) {
  const ws = await open();
  ws.raw(...bytes);
  assert.equal(await ws.closeCode(), code, Buffer.concat(bytes).toString('hex').slice(0, 60));
  witness.send('4still');
  assert.equal(await witness.next(), '4still');
}

test('messages of every length form come back whole', async () => {
  const ws = await open();
  for (const size of [0, 1, 124, 125, 126, 127, 65534, 65535, 65536, 300000]) {
    const text = 'x'.repeat(size);
    ws.send(`4${text}`);
    assert.equal(await ws.next(), `4${text}`);
    const bytes = Buffer.alloc(size, 0xa5);
    ws.send(bytes);
    assert.deepEqual(await ws.next(), bytes);
  }
  ws.destroy();
});

test('frames may arrive in any pieces', async () => {
  const ws = await open();
  const bytes = Buffer.concat([frame('text', '4é'), frame('binary', Buffer.alloc(200, 1)),
    frame('ping', 'p'), frame('text', '4last')]);
  for (const b of bytes) {
    ws.raw(Buffer.from([b]));
    await new Promise(setImmediate);
  }
  assert.equal(await ws.next(), '4é');
  assert.equal((await ws.next()).length, 200);
  assert.equal((await ws.frame()).opcode, 10);
  assert.equal(await ws.next(), '4last');
  ws.destroy();
});

test('fragments are joined, with control frames between', async () => {
  const ws = await open();
  const e = Buffer.from('é');
  ws.raw(frame('text', '4a', { fin: false }), frame('ping', '1'),
    frame(0, e.subarray(0, 1), { fin: false }), frame('pong', ''), frame(0, '', { fin: false }),
    frame(0, e.subarray(1)));
  const f = await ws.frame();
  assert.equal(f.opcode, 10);
  assert.equal(f.payload.toString(), '1');
  assert.equal(await ws.next(), '4aé');
  ws.raw(frame('binary', 'ab', { fin: false }), frame(0, 'c'));
  assert.deepEqual(await ws.next(), Buffer.from('abc'));
  ws.destroy();
});

test('a ping is answered with its payload, at most 125 bytes', async () => {
  const ws = await open();
  for (const payload of ['', 'x', 'y'.repeat(125)]) {
    ws.raw(frame('ping', payload));
    const f = await ws.frame();
    assert.equal(f.opcode, 10);
    assert.equal(f.payload.toString(), payload);
  }
  ws.raw(frame('pong', 'nobody asked'));
  ws.send('4x');
  assert.equal(await ws.next(), '4x');
  ws.destroy();
});

test('a broken frame is a protocol error', async () => {
  await closesWith(1002, frame('text', '4x', { mask: false }));
  for (const rsv of [1, 2, 4, 7]) await closesWith(1002, frame('text', '4x', { rsv }));
  for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
    await closesWith(1002, frame(opcode, ''));
  for (const opcode of ['close', 'ping', 'pong']) {
    await closesWith(1002, frame(opcode, '', { fin: false }));
    await closesWith(1002, frame(opcode, 'x'.repeat(126)));
  }
  await closesWith(1002, frame('ping', '', { length: 0x10000n }).subarray(0, 14));
  await closesWith(1002, frame('text', '', { length: 1n << 63n }));
  await closesWith(1002, frame('binary', '', { length: (1n << 64n) - 1n }));
});

test('broken fragmentation is a protocol error', async () => {
  await closesWith(1002, frame(0, 'x'));
  await closesWith(1002, frame(0, 'x', { fin: false }));
  await closesWith(1002, frame('text', '4a', { fin: false }), frame('text', '4b'));
  await closesWith(1002, frame('text', '4a', { fin: false }), frame('binary', 'b', { fin: false }));
  await closesWith(1002, frame('text', '4a', { fin: false }), frame(0, 'b'), frame(0, 'c'));
});

const closing = (code, reason = '') => {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(code);
  return frame('close', Buffer.concat([payload, Buffer.from(reason)]));
};

test('a close is answered with its code', async () => {
  for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999])
    await closesWith(code, closing(code, 'bye'));
  await closesWith(1005, frame('close', ''));
});

test('a bad close payload is a protocol error', async () => {
  await closesWith(1002, frame('close', 'x'));
  for (const code of [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
    await closesWith(1002, closing(code));
  await closesWith(1007, closing(1000, Buffer.from([0xff])));
});

test('text that is not UTF-8 is refused, over the borders of fragments too', async () => {
  const bad = [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82],
    [0xf8, 0x88, 0x80, 0x80, 0x80], [0x80], [0xe0, 0x80, 0xaf]];
  for (const bytes of bad) {
    const data = Buffer.from([0x34, ...bytes]);
    await closesWith(1007, frame('text', data));
    await closesWith(1007, frame('text', Buffer.concat([Buffer.from('4' + 'x'.repeat(5000)), data])));
    await closesWith(1007, frame('text', data.subarray(0, 2), { fin: false }), frame(0, data.subarray(2)));
  }
});

test('a message above maxPayload is refused at its announced length', async () => {
  const ws = await open();
  ws.send(`4${'x'.repeat(999999)}`);
  assert.equal((await ws.next()).length, 1000000);
  ws.destroy();
  await closesWith(1009, frame('text', '', { length: 1000001 }));
  await closesWith(1009, frame('binary', '', { length: (1n << 63n) - 1n }));
  await closesWith(1009, frame('binary', Buffer.alloc(600000), { fin: false }),
    frame(0, '', { length: 400001 }));
});

test('a message has a bounded number of fragments', async () => {
  const ws = await open();
  const empty = frame(0, '', { fin: false });
  ws.raw(frame('text', '4', { fin: false }), ...Array(20000).fill(empty));
  assert.ok([1008, 1009].includes(await ws.closeCode()));
});

test('an empty frame, an unknown type and a close packet end the session', async () => {
  for (const text of ['', 'x', '7', '0{}', '6', '1']) {
    const ws = await open();
    ws.send(text);
    assert.notEqual(await ws.closeCode(), null, text);
  }
  witness.send('4still');
  assert.equal(await witness.next(), '4still');
});

test('what follows a close is dropped', async () => {
  const ws = await open();
  ws.raw(closing(1000), frame('text', '4x'), frame('ping', ''));
  const f = await ws.frame();
  assert.equal(f.opcode, 8);
  assert.equal(await ws.frame(), null);
});

await run();
