#!/usr/bin/env node
// permessage-deflate (RFC 7692): offers and answers, messages of many sizes, whole and in
// fragments, with and without what came before them, and everything that is broken.
import { createRequire } from 'node:module';
import zlib from 'node:zlib';
import { assert, frame, RawWs, run, startServer, test } from './lib.mjs';

const require = createRequire(import.meta.url);
const WebSocket = require('ws');
const PATH = '/engine.io/?EIO=4&transport=websocket';
const MAX = 1000000;
const shared = await startServer('--raw-engine', '--deflate', '--max-payload', MAX);
const alone = await startServer('--raw-engine', '--deflate-alone', '--max-payload', MAX);
const off = await startServer('--raw-engine', '--max-payload', MAX);
const turn = () => new Promise(setImmediate);

const TAIL = Buffer.from([0, 0, 0xff, 0xff]);
const ended = (options) => ({ finishFlush: zlib.constants.Z_SYNC_FLUSH, ...options });

/** One direction of a connection: what came before is the dictionary of what comes. */
class Coder {
  constructor(takeover, windowBits = 15) {
    this.takeover = takeover;
    this.windowBits = windowBits;
    this.past = Buffer.alloc(0);
  }

  options(more) {
    const dictionary = this.takeover && this.past.length > 0 ? this.past : undefined;
    return ended({ windowBits: this.windowBits, dictionary, ...more });
  }

  remember(data) {
    this.past = Buffer.concat([this.past, data]).subarray(-(1 << this.windowBits));
  }

  pack(data, more) {
    const packed = zlib.deflateRawSync(data, this.options(more));
    this.remember(data);
    return packed.subarray(0, -4);
  }

  unpack(data) {
    const plain = zlib.inflateRawSync(Buffer.concat([data, TAIL]), this.options());
    this.remember(plain);
    return plain;
  }
}

/** A connection with this offer, after the open packet. */
async function connect(server, offer, answer) {
  const ws = new RawWs(server.port, PATH);
  ws.mayPack = true;
  await ws.connect(Buffer.alloc(0), { 'Sec-WebSocket-Extensions': offer });
  const got = /^sec-websocket-extensions: (.*)\r$/im.exec(ws.head)?.[1];
  if (answer !== undefined) assert.equal(got, answer ?? undefined);
  const bits = (name) => Number(new RegExp(`${name}=(\\d+)`).exec(got ?? '')?.[1] ?? 15);
  const has = (name) => (got ?? '').includes(name);
  ws.out = new Coder(!has('client_no_context_takeover'), bits('client_max_window_bits'));
  ws.in = new Coder(!has('server_no_context_takeover'), bits('server_max_window_bits'));
  assert.equal((await plain(ws)).toString()[0], '0');
  return ws;
}

/** The next message, decompressed; pings of the protocol are answered on the way. */
async function plain(ws) {
  for (;;) {
    const f = await ws.frame();
    assert.ok(f, 'the connection has ended');
    assert.ok(f.opcode === 1 || f.opcode === 2, `opcode ${f.opcode} ${f.payload.toString('hex')}`);
    if (f.packed) return ws.in.unpack(f.payload);
    if (f.payload.toString() !== '2') return f.payload;
    ws.send('3');
  }
}

/** A compressed message, in fragments of at most `part` bytes. */
function packed(ws, opcode, data, { part = Infinity, more } = {}) {
  const bytes = ws.out.pack(data, more);
  const frames = [];
  for (let at = 0; at === 0 || at < bytes.length; at += part)
    frames.push(frame(at === 0 ? opcode : 0, bytes.subarray(at, at + part),
      { rsv: at === 0 ? 4 : 0, fin: at + part >= bytes.length }));
  return Buffer.concat(frames);
}

async function echoes(ws, opcode, data, options) {
  ws.raw(packed(ws, opcode, data, options));
  assert.ok((await plain(ws)).equals(data), 'other data came back');
}

const PMD = 'permessage-deflate';
const SNC = '; server_no_context_takeover';
const CNC = '; client_no_context_takeover';
const SBITS = '; server_max_window_bits';
const CBITS = '; client_max_window_bits';

// 5, 7.1: what is offered, and what a server with and without takeover says.
const OFFERS = [
  [PMD, PMD, PMD + SNC + CNC],
  [PMD + SNC, PMD + SNC, PMD + SNC + CNC],
  [PMD + CNC, PMD + CNC, PMD + SNC + CNC],
  [PMD + SNC + CNC, PMD + SNC + CNC, PMD + SNC + CNC],
  [PMD + CBITS, PMD, PMD + SNC + CNC],
  [`${PMD}${CBITS}=9`, `${PMD}${CBITS}=9`, `${PMD + SNC + CNC}${CBITS}=9`],
  [`${PMD}${SBITS}=9`, `${PMD}${SBITS}=9`, `${PMD + SNC + CNC}${SBITS}=9`],
  [`${PMD}${SBITS}=15${CBITS}=15`, `${PMD}${SBITS}=15`, `${PMD + SNC + CNC}${SBITS}=15`],
  [`${PMD}${SBITS}="10"`, `${PMD}${SBITS}=10`, `${PMD + SNC + CNC}${SBITS}=10`],
  [`${PMD}${SBITS}=8, ${PMD}`, PMD, PMD + SNC + CNC],
  [`${PMD}; x=1, ${PMD}${CNC}`, PMD + CNC, PMD + SNC + CNC],
  [`x-none; a="b", ${PMD}`, PMD, PMD + SNC + CNC],
];
for (const [offer, one, other] of OFFERS) {
  for (const [server, answer] of [[shared, one], [alone, other]]) {
    test(`"${offer}" is answered with "${answer}", and so it is done`, async () => {
      const ws = await connect(server, offer, answer);
      for (const size of [1, 100, 5000]) {
        await echoes(ws, 'text', Buffer.from(`4${'words '.repeat(size)}`));
        await echoes(ws, 'binary', Buffer.alloc(size, 'bytes'));
      }
      ws.destroy();
    });
  }
}
const DECLINED = [
  'x-webkit-deflate-frame', `${PMD}${SBITS}`, `${PMD}${SBITS}=7`, `${PMD}${SBITS}=16`, `${PMD}${SBITS}=08`,
  `${PMD}${SBITS}=8`, `${PMD}${CBITS}=7`, `${PMD}${CBITS}=x`, `${PMD}${SNC}=1`, `${PMD}${CNC}=true`,
  `${PMD}${SNC}${SNC}`, `${PMD}${CNC}${CNC}`, `${PMD}${SBITS}=9${SBITS}=9`, `${PMD}${CBITS}${CBITS}`,
  `${PMD}; unknown`,
];
for (const offer of DECLINED) {
  test(`"${offer}" is declined`, async () => {
    const ws = await connect(shared, offer, null);
    ws.raw(frame('text', '4x', { rsv: 4 }));
    assert.equal(await ws.closeCode(), 1002);
  });
}
test('a server without compression declines all', async () => {
  const ws = await connect(off, PMD, null);
  ws.raw(frame('text', '4x', { rsv: 4 }));
  assert.equal(await ws.closeCode(), 1002);
});
for (const list of [`${PMD};`, `${PMD} x`, `${PMD}; a=`, `${PMD}; a="b`, '=', ';']) {
  test(`"${list}" is no list of extensions`, async () => {
    const ws = new RawWs(shared.port, PATH);
    await ws.connect(Buffer.alloc(0), { 'Sec-WebSocket-Extensions': list });
    assert.match(ws.head, /^HTTP\/1\.1 400 /);
  });
}

// 12 and 13 of the usual suites: sizes, by what was agreed, whole and in fragments.
const WORDS = 'La cámara de la entrada no responde; se intenta otra vez. ';
const NOISE = Buffer.from(Array.from({ length: 140000 }, (_, i) => (i * 2654435761) >>> 13 & 255));
const KINDS = {
  words: ['text', (n) => Buffer.from(`4${WORDS.repeat(n / 50 + 1)}`).subarray(0, n)],
  numbers: ['text', (n) => Buffer.from(`4${JSON.stringify(Array.from({ length: n / 6 + 1 }, (_, i) => (i * 7919) % 99991))}`).subarray(0, n)],
  noise: ['binary', (n) => NOISE.subarray(0, n)],
};
const AGREED = [PMD, PMD + SNC, PMD + CNC, PMD + SNC + CNC, `${PMD}${SBITS}=9`, `${PMD}${SBITS}=9${SNC}${CBITS}=9`,
  `${PMD}${CBITS}=9${CNC}`, `${PMD}${SBITS}=12${CBITS}=12`];
const isText = (bytes) => { try { new TextDecoder('utf-8', { fatal: true }).decode(bytes); return true; } catch { return false; } };
for (const offer of AGREED) {
  for (const [kind, [opcode, make]] of Object.entries(KINDS)) {
    for (const size of [16, 64, 256, 1024, 4096, 16384, 131072]) {
      for (const part of [Infinity, 128, 1024, 32768]) {
        if (part !== Infinity && size <= part) continue;
        const cut = part === Infinity ? 'whole' : `in fragments of ${part}`;
        test(`${offer}: ${kind}, ${size} bytes, ${cut}`, async () => {
          const ws = await connect(shared, offer);
          let data = make(size);
          while (opcode === 'text' && !isText(data)) data = data.subarray(0, -1);
          for (let i = 0; i < 4; i++) await echoes(ws, opcode, data, { part });
          ws.destroy();
        });
      }
    }
  }
}

// 6, 7.2: all forms that a sender may choose.
const hello = ['f248cdc9c90700', '000500faff48656c6c6f00', 'f348cdc9c9070000', 'f248050000 00ffffcac9c90700'];
for (const h of hello) {
  test(`"Hello" as ${h}`, async () => {
    const ws = await connect(shared, PMD);
    const bytes = Buffer.from(h.replace(/ /g, ''), 'hex');
    for (const part of [bytes.length, 3, 1]) {
      for (let at = 0; at < bytes.length; at += part)
        ws.raw(frame(at ? 0 : 'binary', bytes.subarray(at, at + part), { rsv: at ? 0 : 4, fin: at + part >= bytes.length }));
      assert.equal((await plain(ws)).toString(), 'Hello');
    }
    ws.destroy();
  });
}
for (const level of [0, 1, 9]) {
  for (const strategy of [zlib.constants.Z_DEFAULT_STRATEGY, zlib.constants.Z_FIXED, zlib.constants.Z_HUFFMAN_ONLY]) {
    test(`a message of level ${level}, strategy ${strategy}`, async () => {
      const ws = await connect(shared, PMD + CNC);
      await echoes(ws, 'text', KINDS.words[1](30000), { more: { level, strategy } });
      ws.destroy();
    });
  }
}
test('control frames go between compressed fragments, never compressed', async () => {
  const ws = await connect(shared, PMD);
  const bytes = ws.out.pack(Buffer.from('4abc'));
  ws.raw(frame('text', bytes.subarray(0, 2), { rsv: 4, fin: false }), frame('ping', 'p'), frame(0, bytes.subarray(2)));
  assert.deepEqual(await ws.frame(), { opcode: 10, packed: false, payload: Buffer.from('p') });
  assert.equal((await plain(ws)).toString(), '4abc');
  ws.destroy();
});
test('messages that are not compressed may come in between', async () => {
  const ws = await connect(shared, PMD);
  for (let i = 0; i < 5; i++) {
    await echoes(ws, 'text', Buffer.from(`4packed ${WORDS}`));
    ws.send(`4plain ${i}`);
    assert.equal((await plain(ws)).toString(), `4plain ${i}`);
  }
  ws.destroy();
});
test('octet by octet', async () => {
  const ws = await connect(shared, PMD);
  const data = Buffer.from(`4${WORDS.repeat(3)}`);
  for (const b of packed(ws, 'text', data, { part: 20 })) {
    ws.raw(Buffer.from([b]));
    await turn();
  }
  assert.ok((await plain(ws)).equals(data));
  ws.destroy();
});
test('an empty message', async () => {
  const ws = await connect(shared, PMD);
  ws.raw(frame('binary', Buffer.from([0]), { rsv: 4 }));
  assert.equal((await plain(ws)).length, 0);
  await echoes(ws, 'text', Buffer.from('4x'));
  ws.destroy();
});

// What ends the connection, and nothing else.
const witness = await connect(shared, PMD);
async function closesWith(code, make) {
  const ws = await connect(shared, PMD);
  ws.raw(...[make(ws)].flat());
  assert.equal(await ws.closeCode(), code);
  await echoes(witness, 'text', Buffer.from('4still'));
}
const rsv = { rsv: 4 };
const BROKEN = {
  'a reserved block type': [1007, () => frame('binary', Buffer.from([0x06]), rsv)],
  'data that is cut': [1007, () => frame('binary', Buffer.from('f248cd', 'hex'), rsv)],
  'a distance before the first byte': [1007, () => frame('binary', Buffer.from('f200110000', 'hex'), rsv)],
  'lengths that do not agree': [1007, () => frame('binary', Buffer.from('0005000000', 'hex'), rsv)],
  'noise': [1007, () => frame('binary', Buffer.alloc(500, 0xee), rsv)],
  'text that is none': [1007, (ws) => packed(ws, 'text', Buffer.from('34c0af', 'hex'))],
  'text that is none, early': [1007, (ws) => packed(ws, 'text', Buffer.concat([Buffer.from('34ff', 'hex'), NOISE.subarray(0, 9000)]), { part: 4000 }).subarray(0, 5000)],
  'text that is cut': [1007, (ws) => packed(ws, 'text', Buffer.from('34e282', 'hex'))],
  'text that is none over fragments': [1007, (ws) => packed(ws, 'text', Buffer.from('34eda080', 'hex'), { part: 1 })],
  'the bit on a continuation': [1002, () => [frame('text', '4a', { fin: false }), frame(0, 'b', rsv)]],
  'the bit on a second fragment': [1002, (ws) => [packed(ws, 'text', Buffer.from('4abcdefgh'), { part: 4 }).subarray(0, 10), frame(0, 'b', rsv)]],
  'the bit on a ping': [1002, () => frame('ping', '', rsv)],
  'the bit on a close': [1002, () => frame('close', '', rsv)],
  'the second reserved bit': [1002, () => frame('text', '4x', { rsv: 2 })],
  'the third reserved bit beside the first': [1002, () => frame('text', '4x', { rsv: 5 })],
  'a message of a byte too many': [1009, (ws) => packed(ws, 'binary', Buffer.alloc(MAX + 1))],
  'a message of a byte too many in fragments': [1009, (ws) => packed(ws, 'binary', Buffer.alloc(MAX + 1), { part: 100 })],
  'a bomb': [1009, (ws) => packed(ws, 'binary', Buffer.alloc(60 << 20))],
  'a bomb of text': [1009, (ws) => packed(ws, 'text', Buffer.alloc(30 << 20, '4'), { part: 5000 })],
  'a compressed length that no message can need': [1009, () => frame('binary', '', { rsv: 4, length: 2 * MAX })],
};
for (const [name, [code, make]] of Object.entries(BROKEN))
  test(`${name} ends with ${code}`, () => closesWith(code, make));
test('a message of just the largest size passes', () =>
  echoes(witness, 'binary', Buffer.alloc(MAX)));

// A real client, with its own idea of everything.
for (const [name, server] of Object.entries({ shared, alone, off })) {
  for (const options of [true, { serverNoContextTakeover: true, clientNoContextTakeover: true },
    { serverMaxWindowBits: 10, clientMaxWindowBits: 9 }, false]) {
    test(`ws with ${JSON.stringify(options)} against "${name}"`, async () => {
      const perMessageDeflate = options && { ...(options === true ? {} : options), threshold: 0 };
      const ws = new WebSocket(`ws://127.0.0.1:${server.port}${PATH}`, { perMessageDeflate });
      const texts = Array.from({ length: 60 }, (_, i) => `4${i} ${WORDS.repeat(i * 7)}`);
      const got = [];
      await new Promise((resolve, reject) => {
        ws.on('open', () => texts.forEach((t) => ws.send(t)));
        ws.on('message', (data) => {
          if (data[0] !== 0x30 && got.push(data.toString()) === texts.length) resolve();
        });
        ws.on('error', reject);
        ws.on('close', (code) => reject(new Error(`closed with ${code}`)));
      });
      ws.terminate();
      assert.ok(got.every((t, i) => t === texts[i]));
      assert.equal(ws.extensions !== '', name !== 'off' && options !== false);
    });
  }
}

await run();
