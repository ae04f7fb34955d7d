// The JavaScript clients of each generation behind one face, and a proxy that cuts connections.
import { once } from 'node:events';
import net from 'node:net';
import { io as io4 } from 'socket.io-client';
import { io as io3 } from 'socket.io-client-v3';
import io2 from 'socket.io-client-v2';
import { assert, soon } from './lib.mjs';

export const GENERATIONS = { 4: io4, 3: io3, 2: io2 };
export const TRANSPORTS = {
  polling: ['polling'],
  websocket: ['websocket'],
  upgrade: ['polling', 'websocket'],
};

/** A client of a generation on a transport: how it dials, and what it cannot. */
export class Kind {
  constructor(generation, transport) {
    Object.assign(this, { generation: Number(generation), transport });
    this.name = `${generation}.x ${transport}`;
    this.old = this.generation === 2; // Engine.IO 3, Socket.IO without CONNECT's auth
    this.arrival = transport === 'polling' ? 'polling' : 'websocket';
  }

  dial(port, nsp = '/', options = {}) {
    return GENERATIONS[this.generation](
      `${options.ca ? 'https' : 'http'}://127.0.0.1:${port}${nsp}`,
      { transports: TRANSPORTS[this.transport], forceNew: true, reconnection: false,
        ...options });
  }

  /** Connected, with "auth" seen; upgraded where that was asked for. */
  async join(port, nsp = '/', options = {}) {
    const socket = this.dial(port, nsp, options);
    const refused = refusal(socket).then((e) => Promise.reject(new Error(`refused: ${e.message}`)));
    refused.catch(() => {});
    const auth = once(socket, 'auth');
    await soon(Promise.race([once(socket, 'connect'), refused]), 'connect');
    socket.greeting = (await soon(auth, 'auth'))[0];
    await this.arrived(socket);
    return socket;
  }

  /** Waits for the transport that this kind ends on. */
  async arrived(socket) {
    const engine = socket.io.engine;
    if (engine.transport.name !== this.arrival) await soon(once(engine, 'upgrade'), 'the upgrade');
    assert.equal(engine.transport.name, this.arrival);
  }
}

export function kinds(...generations) {
  return generations.flatMap((g) => Object.keys(TRANSPORTS).map((t) => new Kind(g, t)));
}

/** The arguments of the next event of that name ("error" is one like others in version 2). */
export function next(socket, event) {
  return soon(new Promise((resolve) => socket.once(event, (...args) => resolve(args))), event, 10000);
}

/** Why a namespace or a connection was refused: {message, data}. */
export function refusal(socket) {
  return new Promise((resolve) => {
    socket.once('connect_error', (e) => resolve({ message: e.message, data: e.data }));
    // Generation 2: what the server sent, as it is.
    socket.once('error', (e) => resolve({ message: e.message ?? e, data: e }));
  });
}

/** Emits with an ack and gives the answer's arguments. */
export function call(socket, event, ...args) {
  const answer = new Promise((resolve) => socket.emit(event, ...args, (...a) => resolve(a)));
  return soon(answer, `the ack of ${event}`, 10000);
}

/** Counts an event's first argument up to n; resolves with all of them. */
export function collect(socket, event, n) {
  const got = [];
  return new Promise((resolve) => socket.on(event, (i) => {
    got.push(i);
    if (got.length === n) resolve(got);
  }));
}

export const upTo = (n) => Array.from({ length: n }, (_, i) => i);

/** Forwards TCP to a port, until the connections are cut; WebSockets wait for `gate`. */
export class Proxy {
  async start(to, gate) {
    this.sockets = new Set();
    this.server = net.createServer(async (near) => {
      const far = net.connect(to, '127.0.0.1');
      for (const [from, into] of [[near, far], [far, near]]) {
        this.sockets.add(from);
        from.setNoDelay(true);
        from.on('error', () => {});
        from.on('close', () => {
          this.sockets.delete(from);
          into.destroy();
        });
      }
      far.pipe(near);
      if (gate) {
        const [head] = await once(near, 'data');
        near.pause();
        if (/upgrade: websocket/i.test(head)) await gate;
        far.write(head);
      }
      near.pipe(far);
    });
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = this.server.address().port;
    return this;
  }

  cut() {
    for (const s of this.sockets) s.resetAndDestroy();
  }

  stop() {
    this.server.close();
    this.cut();
  }
}
