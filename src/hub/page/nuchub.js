'use strict';

// Pictures come as "snapshot_update" events over the hub's own Socket.IO (protocol 5 over
// Engine.IO 4, WebSocket): the few packets that a viewer meets are handled here.  Where there
// is no WebSocket, each picture is asked for again and again; its ETag makes that cheap.

const LIST_MS = 5000;
const RETRY_MS = 2000;

const grid = document.getElementById('camaras');
const dialog = document.getElementById('grande');
const cards = new Map(); // ip -> card
let live = false;
let shown = null; // ip in the dialog

function show(text, good) {
  const p = document.getElementById('estado');
  p.textContent = text;
  p.className = good ? 'bien' : '';
}

function card(ip) {
  let c = cards.get(ip);
  if (c)
    return c;
  const article = document.createElement('article');
  const button = document.createElement('button');
  const img = document.createElement('img');
  const foot = document.createElement('div');
  const title = document.createElement('h2');
  const detail = document.createElement('p');
  article.dataset.ip = ip;
  button.type = 'button';
  button.className = 'imagen';
  button.append('Sin imagen', img);
  button.addEventListener('click', () => enlarge(ip));
  img.alt = '';
  foot.className = 'pie';
  title.textContent = ip;
  foot.append(title, detail);
  article.append(button, foot);
  grid.append(article);
  c = {article, img, title, detail, info: {ip}, seen: 0};
  cards.set(ip, c);
  document.getElementById('vacio').hidden = true;
  return c;
}

function setPicture(c, src) {
  c.img.src = src;
  if (shown === c.info.ip)
    dialog.querySelector('img').src = src;
}

function enlarge(ip) {
  const c = cards.get(ip);
  if (!c.img.src)
    return;
  shown = ip;
  dialog.querySelector('img').src = c.img.src;
  dialog.querySelector('img').alt = c.title.textContent;
  dialog.showModal();
}
dialog.querySelector('button').addEventListener('click', () => dialog.close());
dialog.addEventListener('close', () => { shown = null; });

function describe(c) {
  const i = c.info;
  const parts = [];
  if (i.nombre && i.nombre !== 'Cámara ' + i.ip)
    parts.push(i.ip);
  if (typeof i.nuc_id === 'string')
    parts.push('NUC ' + i.nuc_id);
  if (i.estado !== 'activa')
    parts.push(typeof i.error === 'string' ? i.error : 'sin acceso');
  else if (c.seen)
    parts.push('imagen de las ' + new Date(c.seen).toLocaleTimeString('es'));
  c.title.textContent = i.nombre || i.ip;
  c.detail.textContent = parts.join(' · ');
  c.article.classList.toggle('activa', i.estado === 'activa');
}

async function loadPicture(c) {
  const reply = await fetch('api/camaras/' + encodeURIComponent(c.info.ip) + '/snapshot.jpg');
  if (!reply.ok)
    return;
  const blob = await reply.blob();
  const reader = new FileReader();
  reader.onload = () => setPicture(c, reader.result);
  reader.readAsDataURL(blob);
  c.seen = Date.parse(reply.headers.get('Last-Modified')) || Date.now();
}

async function refresh() {
  try {
    const reply = await fetch('api/camaras/detectar');
    const list = await reply.json();
    document.getElementById('vacio').hidden = list.camaras.length > 0 || cards.size > 0;
    for (const info of list.camaras) {
      const c = card(info.ip);
      c.info = info;
      if (info.tiene_snapshot && (!live || !c.img.src))
        await loadPicture(c);
      describe(c);
    }
    if (!live)
      show('Sin conexión directa: las imágenes se piden cada pocos segundos', true);
  } catch (e) {
    if (!live)
      show('Sin conexión con el servidor', false);
  }
  setTimeout(refresh, LIST_MS);
}

function onUpdate(u) {
  if (typeof u.ip !== 'string' || typeof u.image !== 'string')
    return;
  const c = card(u.ip);
  setPicture(c, u.image.startsWith('data:') ? u.image : 'data:image/jpeg;base64,' + u.image);
  c.seen = Date.now();
  c.info.estado = u.estado;
  c.info.nuc_id = c.info.nuc_id || u.nuc_id;
  describe(c);
}

function connect() {
  const url = new URL('socket.io/?EIO=4&transport=websocket', location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const ws = new WebSocket(url);
  ws.onmessage = ({data}) => {
    if (typeof data !== 'string')
      return;
    if (data[0] === '0') { // open: join "/"
      ws.send('40');
    } else if (data === '2') { // ping
      ws.send('3');
    } else if (data.startsWith('40')) {
      live = true;
      show('En directo', true);
    } else if (data.startsWith('42')) {
      const [event, payload] = JSON.parse(data.slice(2));
      if (event === 'snapshot_update' && payload)
        onUpdate(payload);
    }
  };
  ws.onclose = () => {
    live = false;
    show('Reconectando…', false);
    setTimeout(connect, RETRY_MS);
  };
}

refresh();
connect();
