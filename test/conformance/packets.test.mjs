#!/usr/bin/env node
// Socket.IO packets: each rule of the protocol, and what breaking it costs.
import {
  assert, call, echoes, joinNsp, joinWs, openWs, Polling, run, soon, startServer, test,
} from './lib.mjs';

const server = await startServer('--connect-timeout', 1000);
const { port } = server;
const witness = await joinWs(port);

/** What is sent closes the connection without a word; others go on. */
async function closes(what, prepare = async () => joinWs(port)) {
  const ws = await prepare();
  ws.send(...[what].flat());
  const f = await ws.frame();
  assert.ok(f === null || f.opcode === 8, `answered: ${f?.payload}`);
  ws.destroy();
  await echoes(witness);
}

test('a CONNECT is answered with a socket id before anything else', async () => {
  const ws = await openWs(port);
  ws.send('40');
  const reply = await ws.next();
  assert.match(reply, /^40\{"sid":"[\w-]{20}"\}$/);
  assert.notEqual(JSON.parse(reply.slice(2)).sid, ws.handshake.sid);
  assert.equal(await ws.next(), '42["auth",{}]');
  ws.destroy();
});

test('the auth payload arrives as it was sent', async () => {
  for (const nsp of ['/', '/custom'])
    for (const auth of ['{}', '{"token":"123"}', '{"a":[1,{"b":null}],"c":"\\u00e9\\u0000"}']) {
      const ws = await openWs(port);
      await joinNsp(ws, nsp, auth);
      ws.destroy();
    }
});

test('namespaces of one connection are apart', async () => {
  const ws = await joinWs(port);
  const first = ws.id;
  await joinNsp(ws, '/custom');
  assert.notEqual(ws.id, first);
  ws.send('42/custom,["message",1]', '42["message",2]', '42/custom,3["message-with-ack",4]');
  assert.equal(await ws.next(), '42/custom,["message-back",1]');
  assert.equal(await ws.next(), '42["message-back",2]');
  assert.equal(await ws.next(), '43/custom,3[4]');
  ws.destroy();
});

test('a namespace may be named without its comma', async () => {
  const ws = await openWs(port);
  ws.send('40/custom');
  assert.match(await ws.next(), /^40\/custom,\{"sid":/);
  assert.equal(await ws.next(), '42/custom,["auth",{}]');
  ws.send('41/custom', '40/custom');
  assert.match(await ws.next(), /^40\/custom,\{"sid":/);
  ws.destroy();
});

test('an unknown namespace is refused and the connection lives', async () => {
  const ws = await openWs(port);
  for (const nsp of ['/nowhere', '/custom/', '/CUSTOM', '/custom?token=1', '//'])
    for (const auth of ['', '{"a":1}']) {
      ws.send(`40${nsp},${auth}`);
      assert.equal(await ws.next(), `44${nsp},{"message":"Invalid namespace"}`);
    }
  await joinNsp(ws);
  ws.destroy();
});

test('a refusal carries its message and data', async () => {
  const ws = await openWs(port);
  ws.send('40/restricted,{"token":"wrong"}');
  assert.equal(
    await ws.next(), '44/restricted,{"message":"unauthorized","data":{"code":"E_AUTH"}}');
  await joinNsp(ws, '/restricted', '{"token":"secret"}');
  ws.destroy();
});

test('who joins nothing within connectTimeout is closed', async () => {
  const silent = await openWs(port);
  const refused = await openWs(port);
  refused.send('40/nowhere');
  await refused.next();
  const polling = await new Polling(port).open();
  assert.equal(await silent.closeCode() === null, false);
  await refused.closeCode();
  const res = await polling.get();
  assert.ok(res.status === 400 || res.body === '1', res.body);
  await echoes(witness);
});

test('after the last DISCONNECT the transport stays, and another join works', async () => {
  const ws = await joinWs(port);
  ws.send('41', '40');
  assert.match(await ws.next(), /^40\{/);
  ws.destroy();
});

test('arguments come back as they were sent', async () => {
  const ws = await joinWs(port);
  const arrays = [
    '[]', '[null]', '[true,false]', '[1,-1,0]', '[1e-7,12.5,123456789012,-0.1]', '[""]', '[{}]',
    '[[],[[]]]', '[{"a":{"b":[1,"2",{"3":[true]}]}}]', '["\\u0000","a\\u0000b"]',
    '["\\ud83d\\ude00","é","\u2028\u2029"]', '["\\ud800"]', '["\\n\\t\\"\\\\\\/"]',
    '[{"a":1,"a":2}]', '[{"__proto__":{"x":1},"constructor":1}]',
    '[{"_placeholder":true,"num":0}]', '[12345678901234567890123,0.1234567890123456789]',
  ];
  for (const args of arrays) {
    const rest = args.slice(1);
    ws.send(`42["message"${rest === ']' ? '' : ','}${rest}`);
    const back = await ws.next();
    assert.ok(back.startsWith('42["message-back"'));
    assert.deepEqual(JSON.parse(back.slice(2)), ['message-back', ...JSON.parse(args)]);
    ws.send(`427["message-with-ack"${rest === ']' ? '' : ','}${rest}`);
    const ack = await ws.next();
    assert.ok(ack.startsWith('437['));
    assert.deepEqual(JSON.parse(ack.slice(3)), JSON.parse(args));
  }
  ws.destroy();
});

test('white space between tokens is allowed', async () => {
  const ws = await joinWs(port);
  ws.send('42 [ "message" ,\t1 ,\r\n{ "a" : [ ] } ] ');
  assert.deepEqual(JSON.parse((await ws.next()).slice(2)), ['message-back', 1, { a: [] }]);
  ws.destroy();
});

test('ack ids keep every digit', async () => {
  const ws = await joinWs(port);
  for (const id of ['0', '1', '456', '123456789012', '9007199254740993']) {
    ws.send(`42${id}["message-with-ack",1]`);
    assert.equal(await ws.next(), `43${id}[1]`);
  }
  ws.destroy();
});

test('unknown events and acks that nobody asked for are ignored', async () => {
  const ws = await joinWs(port);
  ws.send('42["nobody handles this"]', '42[17]', '42[1.5,2]', '42[""]', '429["nor this"]',
    '430[]', '439999["x"]', '43[]', '461-5[{"_placeholder":true,"num":0}]', Buffer.from('x'));
  await echoes(ws);
  ws.destroy();
});

test('the server asks and gets its answer, or none in time', async () => {
  const ws = await joinWs(port);
  ws.send('42["ask","how",1]');
  let m = /^42(\d+)\["question","how",1\]$/.exec(await ws.next());
  ws.send(`43${m[1]}["so",{"a":1}]`);
  assert.equal(await ws.next(), '42["answer","so",{"a":1}]');
  ws.send(`43${m[1]}["again"]`);
  ws.send('42["ask-timeout",50]');
  m = /^42(\d+)\["question","timed"\]$/.exec(await ws.next());
  assert.equal(await ws.next(), '42["answer-timeout"]');
  ws.send(`43${m[1]}["late"]`);
  await echoes(ws);
  ws.send('42["ask","binary"]');
  m = /^42(\d+)/.exec(await ws.next());
  ws.send(`461-${m[1]}[{"_placeholder":true,"num":0}]`, Buffer.from([1, 2]));
  assert.equal(await ws.next(), '451-["answer",{"_placeholder":true,"num":0}]');
  assert.deepEqual(await ws.next(), Buffer.from([1, 2]));
  ws.destroy();
});

test('attachments go both ways, right behind their packet', async () => {
  const ws = await joinWs(port);
  ws.send('452-["message",{"_placeholder":true,"num":0},{"a":{"_placeholder":true,"num":1}}]',
    Buffer.from([1, 2, 3]), Buffer.alloc(70000, 7));
  assert.equal(await ws.next(),
    '452-["message-back",{"_placeholder":true,"num":0},{"a":{"_placeholder":true,"num":1}}]');
  assert.deepEqual(await ws.next(), Buffer.from([1, 2, 3]));
  assert.deepEqual(await ws.next(), Buffer.alloc(70000, 7));
  ws.send('451-456["message-with-ack",{"num":0,"_placeholder":true}]', Buffer.alloc(0));
  assert.equal(await ws.next(), '461-456[{"num":0,"_placeholder":true}]');
  assert.deepEqual(await ws.next(), Buffer.alloc(0));
  ws.destroy();
});

test('attachments over polling are base64, in the order of the packets', async () => {
  const p = await (await new Polling(port).open()).join();
  await p.send('451-["message",{"_placeholder":true,"num":0}]', 'bAQIDBA==', '42["message",2]');
  assert.equal(await p.next(), '451-["message-back",{"_placeholder":true,"num":0}]');
  assert.equal(await p.next(), 'bAQIDBA==');
  assert.equal(await p.next(), '42["message-back",2]');
});

test('binary values are found depth first', async () => {
  const ws = await joinWs(port);
  ws.send('42["binary-out"]');
  assert.equal(await ws.next(), '453-["bin",{"a":{"_placeholder":true,"num":0},"list":[1,' +
    '{"_placeholder":true,"num":1}],"text":"between"},{"_placeholder":true,"num":2}]');
  assert.deepEqual(await ws.next(), Buffer.from([0, 1, 2]));
  assert.equal((await ws.next()).length, 1000);
  assert.equal((await ws.next()).length, 0);
  ws.destroy();
});

test('a binary packet without attachments is whole, and the next text is none of it', async () => {
  const ws = await joinWs(port);
  ws.send('450-["message","x"]');
  assert.equal(await ws.next(), '42["message-back","x"]');
  await echoes(ws);
  ws.destroy();
});

const violations = {
  'an unknown type': ['47', '49[]', '4x', '4-1', '4'],
  'JSON that does not parse': [
    '42[', '42["a"', '42["a",]', "42['a']", '42["a",NaN]', '42["a",01]', '42["a"]x',
    '42["a"]["b"]', '42["\\x"]', '42["a\n"]', '42{"a"}', '40{', '40{"a":}', '43[,]', '42["a",1.]'],
  'the wrong payload for the type': [
    '42', '42{}', '42"a"', '42[]', '42[null]', '42[true]', '42[["a"]]', '42[{}]', '43', '43{}',
    '430"x"', '41{}', '41[]', '40/custom,[]', '40/custom,"x"', '40/custom,1.5', '40/custom,null',
    '450-', '450-[]', '460-{}'],
  'a reserved event name': [
    '42["connect"]', '42["connect_error",1]', '42["disconnect"]', '42["disconnecting"]',
    '42["newListener"]', '420["removeListener"]', '42["\\u0063onnect"]', '450-["connect"]'],
  'a namespace joined twice': ['40', '40{}', '40/,'],
  'a CONNECT_ERROR from a client': ['44', '44{"message":"x"}', '44"x"', '44/custom,{}'],
  'a namespace that is not joined': [
    '42/custom,["message"]', '43/custom,1[]', '41/custom', '42/nowhere,["a"]',
    '451-/custom,["a",{"_placeholder":true,"num":0}]'],
  'a bad number of attachments': [
    '45["a"]', '45-["a"]', '451["a"]', '45a-["a"]', '45-1-["a"]', '451.5-["a"]', '4511-["a"]',
    '451000000000-["a"]', '4599999999999999999999-["a"]', '4611-1[]'],
  'a placeholder that fits no attachment': [
    ...['1', '-1', '0.5', '"0"', 'null', '{}', '[0]', '1e99'].map(
      (n) => `451-["message",{"_placeholder":true,"num":${n}}]`),
    '451-["message",{"_placeholder":true}]', '450-["message",{"_placeholder":true,"num":0}]',
    '451-["message",[{"x":{"num":5,"_placeholder":true}}]]'],
  'an attachment that nothing announced': [[Buffer.from('x')]],
  'text where an attachment is due': [
    ['451-["message",{"_placeholder":true,"num":0}]', '42["message"]'],
    ['452-["message"]', Buffer.from('x'), '43[]']],
};
for (const [name, packets] of Object.entries(violations))
  test(`${name} closes the connection, and only that one`, async () => {
    for (const p of packets) await closes(p);
  });

test('nothing but a CONNECT may come first', async () => {
  for (const p of ['42["message"]', '431[]', '41', '451-["message"]'])
    await closes(p, async () => openWs(port));
});

test('a violation over polling ends the session', async () => {
  const p = await (await new Polling(port).open()).join();
  await p.post('4abc');
  const res = await p.get();
  assert.ok(res.status === 400 || res.body === '1', `${res.status} ${res.body}`);
  await echoes(witness);
});

test('packets before the bad one of a payload are served', async () => {
  const reporter = await joinWs(port);
  const p = await (await new Polling(port).open()).join();
  await p.send('425["whoami"]');
  const { id } = JSON.parse((await p.next()).slice(3))[0];
  assert.deepEqual(await call(reporter, 'watch', id), [true]);
  await p.post(`42["join","r"]\x1e42["in-room","r","hello"]\x1e4abc`);
  assert.equal(await reporter.next(), `42["left","${id}","forced close"]`);
  reporter.destroy();
});

test('nesting is bounded, and deep values below the bound come back', async () => {
  const ws = await joinWs(port);
  const deep = (n) => '['.repeat(n) + ']'.repeat(n);
  ws.send(`42["message",${deep(100)}]`);
  assert.equal(await ws.next(), `42["message-back",${deep(100)}]`);
  await closes(`42["message",${deep(20000)}]`);
  await closes(`42["message",${'{"a":'.repeat(20000)}1${'}'.repeat(20000)}]`);
  ws.destroy();
});

test('many keys and many arguments cost no quadratic time', async () => {
  const ws = await joinWs(port);
  const keys = Array.from({ length: 20000 }, (_, i) => `"key${i}":${i}`).join(',');
  ws.send(`42["message",{${keys}}]`);
  assert.equal(await ws.next(), `42["message-back",{${keys}}]`);
  const args = Array.from({ length: 100000 }, (_, i) => i).join(',');
  ws.send(`421["message-with-ack",${args}]`);
  assert.equal(await ws.next(), `431[${args}]`);
  ws.destroy();
});

test('bytes held for unfinished binary packets are bounded', async () => {
  const ws = await joinWs(port);
  ws.send('4510-["message"]');
  for (let i = 0; i < 5; i++) ws.send(Buffer.alloc(900000));
  assert.ok((await ws.frame())?.opcode !== 1);
  ws.destroy();
  await echoes(witness);
});

test('an event is at most maxPayload long', async () => {
  const ws = await joinWs(port);
  const most = 1000000 - '42["message",""]'.length;
  ws.send(`42["message","${'x'.repeat(most)}"]`);
  assert.equal((await ws.next()).length, most + '42["message-back",""]'.length);
  ws.send(`42["message","${'x'.repeat(most + 1)}"]`);
  assert.equal(await ws.closeCode(), 1009);
  await echoes(witness);
});

/** Watches a client and gives the reason with which the server saw it go. */
async function reasonOf(act, open = async () => joinWs(port)) {
  const ws = await open();
  assert.deepEqual(await call(witness, 'watch', ws.id), [true]);
  await act(ws);
  const left = JSON.parse((await witness.next()).slice(2));
  assert.deepEqual(left.slice(0, 2), ['left', ws.id]);
  ws.destroy();
  return left[2];
}

test('each end has its reason', async () => {
  assert.equal(await reasonOf((ws) => ws.send('41')), 'client namespace disconnect');
  assert.equal(await reasonOf((ws) => ws.send('42["kick"]')), 'server namespace disconnect');
  assert.equal(await reasonOf((ws) => ws.send('42["kick-close"]')), 'forced server close');
  assert.equal(await reasonOf((ws) => ws.destroy()), 'transport close');
  assert.equal(await reasonOf((ws) => ws.send('1')), 'transport close');
  assert.equal(await reasonOf((ws) => ws.raw(Buffer.from([0x88, 0x80, 0, 0, 0, 0]))),
    'transport close');
  assert.equal(await reasonOf((ws) => ws.send('2')), 'transport error');
  assert.equal(await reasonOf((ws) => ws.send('x')), 'parse error');
  assert.equal(await reasonOf((ws) => ws.send('4abc')), 'forced close');
  assert.equal(await reasonOf((ws) => ws.raw(Buffer.from([0x91, 0x80, 0, 0, 0, 0]))),
    'transport error');
});

test('DISCONNECT from the server names the namespace, and the transport stays', async () => {
  const ws = await joinWs(port);
  await joinNsp(ws, '/custom');
  ws.send('42/custom,["kick"]');
  assert.equal(await ws.next(), '41/custom,');
  await echoes(ws);
  ws.send('42["kick"]');
  assert.equal(await ws.next(), '41');
  await joinNsp(ws, '/custom');
  ws.destroy();
});

test('rooms reach whom they should, each once', async () => {
  const [a, b, c] = [await joinWs(port), await joinWs(port), await joinWs(port)];
  await call(a, 'join', 'r1');
  await call(b, 'join', 'r1');
  await call(b, 'join', 'r2');
  await call(c, 'join', 'r2');
  assert.deepEqual((await call(b, 'rooms'))[0].sort(), [b.id, 'r1', 'r2'].sort());
  a.send('42["to-room",["r1","r2"],"hello",1]');
  assert.equal(await b.next(), '42["hello",1]');
  assert.equal(await c.next(), '42["hello",1]');
  a.send('42["in-room","r1","both"]');
  assert.equal(await a.next(), '42["both"]');
  assert.equal(await b.next(), '42["both"]');
  c.send('42["to-except","r1","r2","only a"]');
  assert.equal(await a.next(), '42["only a"]');
  a.send(`42["to-room","${c.id}","private"]`);
  assert.equal(await c.next(), '42["private"]');
  await call(b, 'leave', 'r1');
  assert.deepEqual(await call(a, 'fetch', 'r1'), [[a.id]]);
  a.send('451-["in-room","r2","bin",{"_placeholder":true,"num":0}]', Buffer.from('x'));
  for (const ws of [b, c]) {
    assert.equal(await ws.next(), '451-["bin",{"_placeholder":true,"num":0}]');
    assert.deepEqual(await ws.next(), Buffer.from('x'));
  }
  a.send('42["disconnect-room","r2"]');
  assert.equal(await b.next(), '41');
  assert.equal(await c.next(), '41');
  assert.deepEqual(await call(a, 'fetch', 'r2'), [[]]);
  for (const ws of [a, b, c]) {
    await joinNsp(ws, '/custom');
    ws.destroy();
  }
});

test('a broadcast stays in its namespace and spares its sender', async () => {
  const [a, b, other] = [await joinWs(port, '/custom'), await joinWs(port, '/custom'),
    await joinWs(port)];
  a.send('42/custom,["broadcast","news",1]', '42/custom,["message","after"]');
  assert.equal(await b.next(), '42/custom,["news",1]');
  assert.equal(await a.next(), '42/custom,["message-back","after"]');
  await echoes(other);
  for (const ws of [a, b, other]) ws.destroy();
});

test('a question to a room collects the answers', async () => {
  const [a, b] = [await joinWs(port), await joinWs(port)];
  await call(b, 'join', 'asked');
  a.send('42["ask-room","asked",5000]');
  const m = /^42(\d+)\["question","room"\]$/.exec(await b.next());
  b.send(`43${m[1]}["yes"]`);
  assert.equal(await a.next(), '42["answers",null,["yes"]]');
  a.send('42["ask-room","asked",50]');
  await b.next();
  const late = JSON.parse((await a.next()).slice(2));
  assert.equal(typeof late[1], 'string');
  assert.deepEqual(late[2], []);
  a.destroy();
  b.destroy();
});

test('a burst arrives in order', async () => {
  const ws = await joinWs(port);
  ws.send('42["burst",2000,100]');
  const padding = 'x'.repeat(100);
  for (let i = 0; i < 2000; i++)
    assert.equal(await ws.next(), `42["burst",${i},"${padding}"]`);
  ws.destroy();
});

test('what a handshake said is known later', async () => {
  const ws = await openWs(port, '/socket.io/', '&name=%C3%A9&empty=&x=1');
  await joinNsp(ws);
  const [me] = await call(ws, 'whoami');
  assert.equal(me.id, ws.id);
  assert.equal(me.nsp, '/');
  assert.equal(me.transport, 'websocket');
  assert.equal(me.query.name, 'é');
  assert.equal(me.query.empty, '');
  assert.equal(me.query.EIO, '4');
  assert.equal(me.headers.upgrade, 'websocket');
  assert.equal(me.address, '127.0.0.1');
  ws.destroy();
});

test('the end of the server is told', async () => {
  const short = await startServer();
  const ws = await joinWs(short.port);
  const stopped = short.stop();
  assert.equal(typeof await ws.closeCode(), 'number');
  await soon(stopped, 'the end of the server');
});

await run();
