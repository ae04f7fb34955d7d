#!/usr/bin/env node
// What stands around the protocol: compressed replies, the cookie, the client for browsers.
import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import vm from 'node:vm';
import zlib from 'node:zlib';
import { createRequire } from 'node:module';
import { assert, openWs, Polling, request, run, startServer, test } from './lib.mjs';

const require = createRequire(import.meta.url);
const { io } = require('socket.io-client');
const { Fetch } = require('engine.io-client'); // asks for gzip, and decodes it
const dist = join(process.env.TOP, 'test/node_modules/socket.io-client/dist');
const PATH = '/engine.io/';
const raw = await startServer('--raw-engine', '--cookie');
const server = await startServer('--cookie', '--client-dir', dist);

const LARGE = `4${'{"camera":"entrada","n":1},'.repeat(100)}`;
const DECODERS = { gzip: zlib.gunzipSync, deflate: zlib.inflateSync };

/** Echoes packets by polling and gives the reply to the poll, decoded. */
async function poll(packets, accept) {
  const session = await new Polling(raw.port, PATH).open();
  await session.send(...packets);
  const res = await request(raw.port, 'GET', session.url(),
    { headers: accept === undefined ? {} : { 'Accept-Encoding': accept } });
  const decode = DECODERS[res.headers['content-encoding']] ?? ((b) => b);
  assert.equal(res.status, 200);
  assert.equal(decode(res.bytes).toString(), packets.join('\x1e'));
  return res;
}

const ACCEPTED = [
  [undefined, undefined], ['', undefined], ['gzip', 'gzip'], ['deflate', 'deflate'],
  ['gzip, deflate, br', 'gzip'], ['br', undefined], ['*', 'gzip'], ['gzip;q=0', undefined],
  ['gzip;q=0, deflate', 'deflate'], ['gzip;q=0.5, deflate;q=0.9', 'deflate'],
  ['identity', undefined], ['identity;q=0, gzip', 'gzip'], ['*;q=0', undefined],
  ['identity;q=1, gzip;q=0.1', undefined],
];
for (const [accept, coding] of ACCEPTED) {
  test(`a poll with Accept-Encoding: ${accept} is answered in ${coding ?? 'no coding'}`, async () => {
    const res = await poll([LARGE], accept);
    assert.equal(res.headers['content-encoding'], coding);
    assert.match(res.headers.vary ?? '', /Accept-Encoding/);
    if (coding) assert.ok(res.bytes.length < LARGE.length / 5);
  });
}

test('a reply is compressed from 1024 bytes on', async () => {
  assert.equal((await poll([`4${'x'.repeat(1022)}`], 'gzip')).headers['content-encoding'], undefined);
  assert.equal((await poll([`4${'x'.repeat(1023)}`], 'gzip')).headers['content-encoding'], 'gzip');
  const many = await poll(Array(16).fill(`4${'seventy bytes '.repeat(5)}`), 'gzip');
  assert.equal(many.headers['content-encoding'], 'gzip');
});

test('what does not shrink is sent as it is', async () => {
  const noise = Array.from({ length: 1100 }, () =>
    String.fromCodePoint(0x20000 + Math.floor(Math.random() * 0x8000))).join('');
  const res = await poll([`4${noise}`], 'gzip');
  assert.ok(res.bytes.length <= Buffer.byteLength(noise) + 1);
});

test('only the opening reply sets the cookie', async () => {
  const res = await request(raw.port, 'GET', `${PATH}?EIO=4&transport=polling`);
  const { sid } = JSON.parse(res.body.slice(1));
  assert.deepEqual(res.headers['set-cookie'], [`io=${sid}; Path=/; HttpOnly; SameSite=Lax`]);
  const url = `${PATH}?EIO=4&transport=polling&sid=${sid}`;
  const post = await request(raw.port, 'POST', url, { body: '4x' });
  assert.equal(post.headers['set-cookie'], undefined);
  assert.equal((await request(raw.port, 'GET', url)).headers['set-cookie'], undefined);
  const ws = await openWs(raw.port, PATH);
  assert.match(ws.head, new RegExp(`\r\nSet-Cookie: io=${ws.handshake.sid}; Path=/`));
  ws.destroy();
});

const get = (name, headers = {}) => request(server.port, 'GET', `/socket.io/${name}`, { headers });
const FILES = ['socket.io.js', 'socket.io.min.js', 'socket.io.esm.min.js', 'socket.io.msgpack.min.js'];
for (const name of [...FILES, ...FILES.map((f) => `${f}.map`)]) {
  test(`${name} is served with its type, compressed, and once`, async () => {
    const want = readFileSync(join(dist, name));
    const res = await get(name);
    assert.equal(res.status, 200);
    assert.match(res.headers['content-type'], name.endsWith('.map') ? /^application\/json/ : /^text\/javascript/);
    assert.ok(res.bytes.equals(want));
    const small = await get(name, { 'Accept-Encoding': 'gzip' });
    assert.ok(zlib.gunzipSync(small.bytes).equals(want));
    const again = await get(name, { 'If-None-Match': res.headers.etag });
    assert.equal(again.status, 304);
    assert.equal(again.bytes.length, 0);
  });
}

test('other files, and other methods, are the engine\'s', async () => {
  assert.equal((await get('other.js')).status, 400);
  assert.equal((await request(server.port, 'POST', '/socket.io/socket.io.js')).status, 400);
});

test('the client that is served runs', async () => {
  const { body } = await get('socket.io.min.js');
  const module = { exports: {} };
  vm.runInThisContext(`(function (exports, module) {${body}\n})`)(module.exports, module);
  assert.equal(typeof module.exports.io, 'function');
});

test('a real client polls with compression', async () => {
  const socket = io(`http://127.0.0.1:${server.port}`, {
    transports: [Fetch], upgrade: false, forceNew: true,
  });
  const texts = ['x'.repeat(5000), '\u{1f600}é'.repeat(3000), 'short'];
  try {
    for (const text of texts) {
      const echo = new Promise((resolve, reject) => {
        socket.once('connect_error', reject);
        socket.once('message-back', resolve);
      });
      socket.emit('message', text);
      assert.equal(await echo, text);
    }
  } finally {
    socket.disconnect();
  }
});

await run();
