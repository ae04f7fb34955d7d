#!/usr/bin/env node
// Every rule of RFC 6455, 5 to 8, that a client can put to a server: a case is what is sent,
// and what has to come back before the connection ends.
import { assert, frame, openWs, run, startServer, test } from './lib.mjs';

const PATH = '/engine.io/';
const server = await startServer('--raw-engine', '--max-payload', 16 << 20);
const turn = () => new Promise(setImmediate);

// What is sent.  Texts carry the echo server's type character, "4".
const text = (s, o) => frame('text', typeof s === 'string' ? `4${s}` : Buffer.concat([Buffer.from('4'), s]), o);
const binary = (b, o) => frame('binary', b, o);
const ping = (p = '', o) => frame('ping', p, o);
const pong = (p = '', o) => frame('pong', p, o);
const more = (p, o) => frame(0, p, { fin: false, ...o });
const last = (p, o) => frame(0, p, o);
const open = { fin: false };
const close = (code, reason = '') => {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(code);
  return frame('close', Buffer.concat([payload, Buffer.from(reason)]));
};
const bye = close(1000);

// What comes back.
const ponged = (p = '') => ({ pong: Buffer.from(p) });

/** Sends the pieces, then reads all answers and the code of the close frame. */
async function exchange(pieces, answers, code, chop) {
  const ws = await openWs(server.port, PATH);
  const bytes = Buffer.concat(pieces);
  if (chop) {
    for (let at = 0; at < bytes.length; at += chop) {
      ws.raw(bytes.subarray(at, at + chop));
      await turn();
    }
  } else {
    ws.raw(bytes);
  }
  for (const answer of answers) {
    const f = await ws.frame();
    assert.ok(f, 'the connection ended early');
    if (answer.pong) {
      assert.deepEqual([f.opcode, f.payload], [10, answer.pong]);
    } else if (typeof answer === 'string') {
      assert.equal(f.opcode, 1);
      assert.ok(f.payload.equals(Buffer.from(`4${answer}`)), 'another text');
    } else {
      assert.equal(f.opcode, 2);
      assert.ok(f.payload.equals(answer));
    }
  }
  assert.equal(await ws.closeCode(), code);
}

/** Whole, and in pieces: the same comes back. */
function rule(name, pieces, answers = [], code = 1000) {
  const total = pieces.reduce((n, p) => n + p.length, 0);
  test(name, () => exchange(pieces, answers, code));
  if (total < 200) test(`${name}, octet by octet`, () => exchange(pieces, answers, code, 1));
  else if (total < 200000) test(`${name}, chopped`, () => exchange(pieces, answers, code, 997));
}

// 5.2, 5.6: messages of every length form.
for (const size of [0, 1, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537]) {
  const bytes = Buffer.alloc(size, 0xfe);
  rule(`a text of ${size} bytes behind its type`, [text('*'.repeat(size)), bye], ['*'.repeat(size)]);
  rule(`binary data of ${size} bytes`, [binary(bytes), bye], [bytes]);
}

// 5.5.2, 5.5.3: pings and pongs.
for (const payload of ['', 'Hello', Buffer.from('00fffefdfcfb00ff', 'hex'), Buffer.alloc(125, 0xfe)])
  rule(`a ping of ${payload.length} bytes`, [ping(payload), bye], [ponged(payload)]);
rule('a ping of 126 bytes', [ping('x'.repeat(126))], [], 1002);
rule('a pong that nobody asked for', [pong(), bye]);
rule('a pong with a payload that nobody asked for', [pong('x'), bye]);
rule('a pong and a ping', [pong('x'), ping('y'), bye], [ponged('y')]);
rule('ten pings', [...Array(10).keys()].map((i) => ping(`p${i}`)).concat(bye),
  [...Array(10).keys()].map((i) => ponged(`p${i}`)));

// 5.2: reserved bits, without an extension that gives them a meaning.
for (let rsv = 1; rsv < 8; rsv++) {
  rule(`reserved bits ${rsv} of a text`, [text('x', { rsv })], [], 1002);
  rule(`reserved bits ${rsv} between good frames`, [text('a'), text('b', { rsv }), ping()], ['a'], 1002);
  rule(`reserved bits ${rsv} of binary data`, [binary('x', { rsv })], [], 1002);
  rule(`reserved bits ${rsv} of a ping`, [ping('x', { rsv })], [], 1002);
  rule(`reserved bits ${rsv} of a close`, [frame('close', '', { rsv })], [], 1002);
  rule(`reserved bits ${rsv} of a continuation`, [text('a', open), last('b', { rsv })], [], 1002);
}

// 5.2: reserved opcodes.
for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) {
  rule(`opcode ${opcode}`, [frame(opcode, '')], [], 1002);
  rule(`opcode ${opcode} with a payload`, [frame(opcode, 'x')], [], 1002);
  rule(`opcode ${opcode} between good frames`, [text('a'), frame(opcode, 'x'), ping()], ['a'], 1002);
  rule(`opcode ${opcode} inside a message`, [text('a', open), frame(opcode, ''), last('b')], [], 1002);
}

// 5.1, 5.2: masking and lengths.
rule('a frame that is not masked', [text('x', { mask: false })], [], 1002);
rule('a ping that is not masked', [ping('', { mask: false })], [], 1002);
rule('a length with its top bit set', [binary('', { length: 1n << 63n })], [], 1002);
for (const [length, head] of [[5, 126], [125, 126], [5, 127], [65535, 127]])
  rule(`a length of ${length} in more bytes than it needs`,
    [Buffer.from([0x82, 0x80 | head, ...Array(head === 126 ? 0 : 6).fill(0), length >> 8, length & 255])], [], 1002);

// 5.4: fragments.
rule('a ping in two fragments', [ping('a', open), last('b')], [], 1002);
rule('a pong in two fragments', [pong('a', open), last('b')], [], 1002);
rule('a close in two fragments', [frame('close', '', open), last('')], [], 1002);
rule('a text in two fragments', [text('a', open), last('b'), bye], ['ab']);
rule('a text in three, of which two are empty', [text('', open), more(''), last('x'), bye], ['x']);
rule('a text in fragments, the last of them empty', [text('a', open), more('b'), last(''), bye], ['ab']);
rule('binary data in fragments', [binary('a', open), more('b'), last('c'), bye], [Buffer.from('abc')]);
rule('binary data in empty fragments', [binary('', open), more(''), last(''), bye], [Buffer.alloc(0)]);
rule('a ping between fragments', [text('a', open), ping('p'), last('b'), bye], [ponged('p'), 'ab']);
rule('a pong between fragments', [text('a', open), pong('p'), last('b'), bye], ['ab']);
rule('pings between all fragments',
  [text('a', open), ping('1'), more('b'), ping('2'), more('c'), ping('3'), last('d'), bye],
  [ponged('1'), ponged('2'), ponged('3'), 'abcd']);
for (const fin of [true, false]) {
  rule(`a continuation of nothing, FIN ${fin}`, [frame(0, 'x', { fin }), text('a'), bye], [], 1002);
  rule(`a continuation after a whole message, FIN ${fin}`, [text('a'), frame(0, 'x', { fin })], ['a'], 1002);
  rule(`a text inside a message, FIN ${fin}`, [text('a', open), text('b', { fin })], [], 1002);
  rule(`binary data inside a message, FIN ${fin}`, [text('a', open), binary('b', { fin })], [], 1002);
}
rule('a continuation after the last', [text('a', open), last('b'), last('c')], ['ab'], 1002);
rule('two messages in fragments',
  [text('a', open), ping('1'), last('b'), text('c', open), more('d'), ping('2'), last('e'), bye],
  [ponged('1'), 'ab', ponged('2'), 'cde']);
rule('a close between fragments', [text('a', open), close(1000), last('b')]);

// 8.1: UTF-8.
const hex = (s) => Buffer.from(s.replace(/ /g, ''), 'hex');
const GOOD = {
  'κόσμε': 'cebae1bdb9cf83cebcceb5', 'U+0000': '00', 'U+0080': 'c280', 'U+07FF': 'dfbf',
  'U+0800': 'e0a080', 'U+D7FF': 'ed9fbf', 'U+E000': 'ee8080', 'U+FFFD': 'efbfbd',
  'U+FFFE': 'efbfbe', 'U+FFFF': 'efbfbf', 'U+10000': 'f0908080', 'U+1FFFF': 'f09fbfbf',
  'U+10FFFF': 'f48fbfbf', 'U+007F': '7f',
};
const BAD = {
  'a lone continuation': '80', 'the last continuation': 'bf', 'six continuations': '80bf80bf80bf',
  'a lead of two with a blank behind it': 'c020', 'a lead of three': 'e020', 'a lead of four': 'f020',
  'a lead of five': 'f820', 'a lead of six': 'fc20', 'two of three': 'e08020', 'three of four': 'f0808020',
  'cut after one of two': 'c2', 'cut after two of three': 'e0a0', 'cut after three of four': 'f09080',
  'FE': 'fe', 'FF': 'ff', 'FE FE FF FF': 'fefeffff', 'an overlong slash of two': 'c0af',
  'an overlong slash of three': 'e080af', 'an overlong slash of four': 'f08080af',
  'an overlong slash of five': 'f8808080af', 'an overlong slash of six': 'fc80808080af',
  'an overlong maximum of two': 'c1bf', 'an overlong maximum of three': 'e09fbf',
  'an overlong maximum of four': 'f08fbfbf', 'an overlong U+0000': 'c080',
  'a high surrogate': 'eda080', 'the last high surrogate': 'edafbf', 'a low surrogate': 'edb080',
  'the last low surrogate': 'edbfbf', 'a pair of surrogates': 'eda080edb080',
  'U+110000': 'f4908080', 'U+13FFFF': 'f4bfbfbf', 'a value of five bytes': 'f888808080',
  'a value of six bytes': 'fc8480808080', 'a value of 31 bits': 'fdbfbfbfbfbf',
  'bad behind good': 'cebae1bdb9cf83cebcceb5 eda080 656469746564',
};
for (const [name, s] of Object.entries(GOOD)) {
  const bytes = hex(s);
  rule(`the text ${name}`, [text(bytes), bye], [bytes.toString()]);
  for (let at = 0; at <= bytes.length; at++)
    test(`the text ${name}, in fragments cut at ${at}`, () =>
      exchange([text(bytes.subarray(0, at), open), last(bytes.subarray(at)), bye], [bytes.toString()], 1000));
}
for (const [name, s] of Object.entries(BAD)) {
  const bytes = hex(s);
  rule(`text that is none: ${name}`, [text(bytes), text('never')], [], 1007);
  rule(`text that is none, behind ${name.length} words: ${name}`,
    [text(Buffer.concat([Buffer.from('12345678'.repeat(name.length)), bytes])), text('never')], [], 1007);
  rule(`text that is none, in fragments: ${name}`,
    [text('', open), ...[...bytes].map((b) => more([b])), last(''), text('never')], [], 1007);
  rule(`binary data that would be no text: ${name}`, [binary(bytes), bye], [bytes]);
}

// Early failure: nothing behind the first bad byte is waited for.
const EARLY = {
  'a surrogate': 'eda080', 'a value that is too large': 'f490', 'an overlong lead': 'c0', FF: 'ff',
};
for (const [name, s] of Object.entries(EARLY)) {
  const bad = Buffer.concat([Buffer.from('good'), hex(s)]);
  rule(`${name} in a fragment that is not the last`, [text('a', open), more(bad)], [], 1007);
  rule(`${name} in a fragment that has not come to its end`,
    [text('a', open), more(Buffer.concat([bad, Buffer.alloc(100)])).subarray(0, 4 + 2 + bad.length)], [], 1007);
  rule(`${name} in a frame that has not come to its end`,
    [frame('text', Buffer.concat([Buffer.from('4'), bad, Buffer.alloc(1000)])).subarray(0, 8 + 1 + bad.length)], [], 1007);
}

// 5.5.1, 7: closing.
rule('a close after a message', [text('a'), bye], ['a']);
rule('two closes', [bye, bye]);
rule('a ping after a close', [bye, ping('x')]);
rule('a text after a close', [bye, text('a')]);
rule('a text in fragments, and a close inside', [text('a', open), bye, last('b')]);
rule('a close after much that is answered', [text('x'.repeat(100000)), bye, ping()], ['x'.repeat(100000)]);
rule('a close without a code', [frame('close', '')], [], 1005);
rule('a close of one byte', [frame('close', 'x')], [], 1002);
rule('a close with the longest reason', [close(1000, 'r'.repeat(123))]);
rule('a close with too long a reason', [close(1000, 'r'.repeat(124))], [], 1002);
rule('a close whose reason is no text', [close(1000, hex('ceba e1bdb9 eda080'))], [], 1007);
rule('a close whose reason is cut', [close(1000, hex('e0a0'))], [], 1007);
for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
  rule(`close code ${code}`, [close(code)], [], code);
for (const code of [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]) {
  rule(`close code ${code}, which may not be`, [close(code)], [], 1002);
  rule(`close code ${code} with a reason`, [close(code, 'why')], [], 1002);
}

// Sizes up to the limit, whole and in fragments.
for (let size = 1 << 16; size <= 16 << 20; size <<= 2) {
  const bytes = Buffer.alloc(size, 'aé');
  const chars = 'aé€\u{1f600}'.repeat(Math.floor((size - 1) / 10)); // 10 bytes each
  test(`binary data of ${size >> 10} KiB`, () => exchange([binary(bytes), bye], [bytes], 1000));
  test(`text of ${size >> 10} KiB`, () => exchange([text(chars), bye], [chars], 1000));
  for (const part of [64, 1024, 65536]) {
    if (size / part > 16384) continue;
    test(`binary data of ${size >> 10} KiB in fragments of ${part} bytes`, () => {
      const pieces = [binary(bytes.subarray(0, part), open)];
      for (let at = part; at < size; at += part)
        pieces.push(frame(0, bytes.subarray(at, at + part), { fin: at + part >= size }));
      if (size <= part) pieces.push(last(''));
      return exchange([...pieces, bye], [bytes], 1000);
    });
  }
}
test('binary data of 1 MiB in writes of 997 bytes', () =>
  exchange([binary(Buffer.alloc(1 << 20, 7)), bye], [Buffer.alloc(1 << 20, 7)], 1000, 997));
rule('a message of one byte too many', [binary('', { length: (16 << 20) + 1 })], [], 1009);
rule('fragments of one byte too many together', [binary('', open), frame(0, 'x', open), frame(0, '', { length: 16 << 20 })], [], 1009);

await run();
