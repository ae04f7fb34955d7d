// The hub's part of the work, in node with socket.io: what the benchmarks compare with.
import { createServer } from "node:http";
import { Server } from "socket.io";

const port = Number(process.argv[2]);
const http = createServer((req, res) => {
  if (req.url === "/api/status") {
    const body = JSON.stringify({ status: "online", nucs_conectados: 0, timestamp: new Date().toISOString() });
    res.writeHead(200, { "Content-Type": "application/json", "Content-Length": body.length });
    res.end(body);
  } else {
    res.writeHead(404).end();
  }
});
const io = new Server(http, { maxHttpBufferSize: 16 << 20, serveClient: false });

io.on("connection", (socket) => {
  socket.on("snapshot", (s) => {
    const { nuc_id, ip, image, estado, timestamp } = s;
    socket.broadcast.emit("snapshot_update", { nuc_id, ip, image, estado, timestamp });
  });
  socket.on("pong", (data, ack) => ack?.());
  socket.on("message-with-ack", (...args) => args.pop()(...args));
});
http.listen(port, "127.0.0.1");
