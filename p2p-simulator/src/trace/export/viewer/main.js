// The page: time, what is picked, and the hands on both.

const about = JSON.parse(document.getElementById("about").textContent);
const $ = (id) => document.getElementById(id);

function decode(text) {
  const raw = atob(text.trim()), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

const trace = readTrace(decode($("trace").textContent), about.names);
$("trace").remove();
const network = new NetworkPicture($("network"), trace);
const lanes = new LanesPicture($("lanes"), trace);
const overview = new OverviewPicture($("overview"), trace);
const state = { now: 0, picked: -1, playing: false, speed: 1, theme: readTheme() };
window.viewer = { trace, state, network, lanes, draw, seek, pick };

const SPEEDS = [0.001, 0.01, 0.1, 0.5, 1, 5, 20];
const CAUSES_MAX = 30, LOG_MAX = 400;

function draw() {
  network.draw(state.now, state.picked, state.theme);
  lanes.draw(state.now, state.picked, state.theme);
  overview.draw(lanes.span, state.theme);
  $("now").textContent = seconds(state.now);
  $("time").value = Math.round((state.now / trace.end) * 1e6);
  drawLog();
}

let drawing = 0;
function redraw() { drawing ||= requestAnimationFrame(() => { drawing = 0; draw(); }); }

function seek(now, follow = true) {
  state.now = Math.max(0, Math.min(trace.end, now));
  const [from, to] = lanes.span, wide = to - from;
  if (follow && (state.now < from || state.now > to)) lanes.move(state.now - wide / 3, wide);
  redraw();
}

function pick(index) {
  state.picked = index;
  const box = $("details");
  box.replaceChildren(element("h2", "Message"));
  if (index < 0) {
    box.append(element("p", "Click a message, in either picture, to see what led to it. Wheel: zoom. Drag: move. Space: play. Arrows: one event.", "hint"));
    return redraw();
  }
  const m = trace.messages[index], i = m.sent, number = Math.floor(trace.conn[i] / 2);
  box.append(element("p", describe(trace, i).replace(/ sent$/, ""), "what"));
  const took = m.end < 0 ? "still under way at the end" : m.lost ? "lost" : `arrived ${seconds(m.to, 9)}, after ${((m.to - m.from) / 1e6).toFixed(3)} ms`;
  const extra = [`connection ${number}`, `stream ${trace.stream[i]}`];
  if (trace.again[i]) extra.push(`${trace.again[i]} retransmissions`);
  if (m.heldAt >= 0) extra.push("held up by a fault");
  box.append(element("p", `Sent ${seconds(m.from, 9)}; ${took}. ${extra.join(", ")}.`));
  const faults = trace.bands.filter((b) => b.from <= m.to && b.to >= m.from && (b.everywhere || b.peers.includes(m.src) || b.peers.includes(m.dst)));
  if (faults.length) box.append(element("p", "Meanwhile: " + faults.slice(0, 6).map((b) => b.text).join("; ") + (faults.length > 6 ? "; …" : "")));
  box.append(element("h2", "Because of"), list(causes(trace, i, CAUSES_MAX)));
  const effects = effectsOf(m.end);
  if (effects.length) box.append(element("h2", "Led to"), list(effects));
  redraw();
}

// What happened because a message arrived, the first few.
function effectsOf(end) {
  const found = [];
  if (end < 0) return found;
  for (let i = end + 1; i < trace.count && found.length < 10 && trace.t[i] === trace.t[end]; i++) if (trace.parent[i] === end) found.push(i);
  return found;
}

function list(records) {
  const ol = document.createElement("ol");
  for (const i of records) ol.append(entry(trace.t[i], describe(trace, i), "", () => {
    seek(trace.t[i]);
    if (trace.messageOf[i] >= 0) pick(trace.messageOf[i]);
  }));
  if (!records.length) ol.append(element("li", "nothing before it", "hint"));
  return ol;
}

function entry(at, text, kind, act) {
  const li = element("li", "", kind);
  li.append(element("time", seconds(at)), element("span", text));
  li.addEventListener("click", act);
  return li;
}

function element(name, text, kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

// The entries around now; built again when others are near.
let logFrom = -1;
function drawLog() {
  const past = trace.log.findIndex((e) => e.at > state.now), next = past < 0 ? trace.log.length : past;
  const from = Math.max(0, Math.min(next - LOG_MAX / 2, trace.log.length - LOG_MAX));
  if (from !== logFrom) {
    logFrom = from;
    const entries = trace.log.slice(from, from + LOG_MAX).map((e) => entry(e.at, e.text, e.kind, () => seek(e.at)));
    $("log").replaceChildren(...(entries.length ? entries : [element("li", "no faults, no notes", "hint")]));
  }
  const children = $("log").children;
  for (let k = 0; k < children.length; k++) children[k].classList.toggle("past", from + k < next);
  children[Math.max(0, Math.min(children.length - 1, next - from - 1))]?.scrollIntoView({ block: "nearest" });
}

function play() {
  state.playing = !state.playing;
  $("play").textContent = state.playing ? "❚❚" : "▶";
  if (state.playing && state.now >= trace.end) state.now = 0;
  let last = performance.now();
  const tick = (at) => {
    if (!state.playing) return;
    seek(state.now + (at - last) * 1e6 * state.speed);
    last = at;
    if (state.now >= trace.end) return play();
    requestAnimationFrame(tick);
  };
  if (state.playing) requestAnimationFrame(tick);
}

// To the next or the previous moment at which something happens.
function step(direction) {
  const { t, count } = trace;
  let low = 0, high = count;
  while (low < high) { const middle = (low + high) >> 1; if (direction > 0 ? t[middle] <= state.now : t[middle] < state.now) low = middle + 1; else high = middle; }
  const i = direction > 0 ? low : low - 1;
  if (i >= 0 && i < count) seek(t[i]);
}

function listen() {
  $("time").addEventListener("input", (e) => seek((e.target.value / 1e6) * trace.end));
  $("play").addEventListener("click", play);
  $("speed").append(...SPEEDS.map((speed) => new Option(`× ${speed}`, speed, speed === 1, speed === 1)));
  $("speed").addEventListener("change", (e) => { state.speed = Number(e.target.value); });
  $("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  const zoom = (factor) => () => { lanes.zoom(factor, Math.max(lanes.span[0], Math.min(lanes.span[1], state.now))); redraw(); };
  $("zoom-in").addEventListener("click", zoom(0.4));
  $("zoom-out").addEventListener("click", zoom(2.5));
  $("zoom-all").addEventListener("click", () => { lanes.move(0, trace.end * 1.01); redraw(); });
  $("network").addEventListener("click", (e) => pick(network.pick(e.offsetX, e.offsetY)));
  $("lanes").addEventListener("wheel", (e) => {
    if (e.shiftKey) return;
    e.preventDefault();
    lanes.zoom(1.0016 ** e.deltaY, lanes.t(e.offsetX));
    redraw();
  }, { passive: false });
  listenToDrags($("lanes"));
  addEventListener("resize", redraw);
  addEventListener("keydown", (e) => {
    if (["INPUT", "SELECT"].includes(e.target.tagName)) return;
    if (e.key === " ") { e.preventDefault(); play(); }
    if (e.key === "ArrowRight") step(1);
    if (e.key === "ArrowLeft") step(-1);
  });
}

// A drag moves the span; a click picks a message, or moves the time.
function listenToDrags(canvas) {
  let start = null;
  canvas.addEventListener("pointerdown", (e) => { start = { x: e.offsetX, from: lanes.span[0], moved: false }; canvas.setPointerCapture(e.pointerId); });
  canvas.addEventListener("pointermove", (e) => {
    if (!start || (Math.abs(e.offsetX - start.x) < 4 && !start.moved)) return;
    start.moved = true;
    const wide = lanes.span[1] - lanes.span[0];
    lanes.move(start.from - ((e.offsetX - start.x) / (lanes.width - GUTTER - 12)) * wide, wide);
    redraw();
  });
  canvas.addEventListener("pointerup", (e) => {
    if (start && !start.moved) {
      const index = lanes.pick(e.offsetX, e.offsetY);
      if (index >= 0) pick(index);
      seek(lanes.t(e.offsetX), false);
    }
    start = null;
  });
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  state.theme = readTheme();
  redraw();
}

function legend() {
  const kinds = [["data", "data"], ["dial", "dials"], ["datagram", "datagrams"], ["control", "acknowledgements, credit"], ["end", "closes, resets"], ["lost", "lost"]];
  for (const [name, text] of kinds) {
    const li = element("li", "");
    const dot = document.createElement("i");
    dot.style.background = `var(--${name})`;
    li.append(dot, text);
    $("legend").append(li);
  }
}

$("title").textContent = about.title;
$("verdict").textContent = $("verdict").title = about.verdict;
$("verdict").classList.toggle("failed", about.failed);
const kept = trace.count < trace.total ? ` of ${trace.total.toLocaleString("en")}` : "";
$("counts").textContent = `${trace.count.toLocaleString("en")}${kept} events, ${trace.messages.length.toLocaleString("en")} packets, ${seconds(trace.end, 3)}`;
legend();
listen();
// A link may say where to begin: #t=12.5&span=2&pick=123&theme=dark, in seconds, with a record's number.
const wish = new URLSearchParams(location.hash.slice(1));
setTheme(wish.get("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
if (wish.has("span")) lanes.move((Number(wish.get("t") ?? 0) - Number(wish.get("span")) / 3) * 1e9, Number(wish.get("span")) * 1e9);
state.now = Math.min(trace.end, Number(wish.get("t") ?? 0) * 1e9);
pick(wish.has("pick") ? trace.messageOf[Number(wish.get("pick")) - trace.first] ?? -1 : -1);
draw();
document.documentElement.dataset.ready = "yes";
