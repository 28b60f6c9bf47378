// The three pictures: the network at a moment, the lanes over a span of time, the whole run in small.

// Colours by what a message is.
function colourOf(trace, i, theme) {
  const kinds = trace.names.kinds;
  switch (trace.what[i]) {
    case kinds.data: case kinds.finish: return theme.data;
    case kinds.dial: case kinds.dialAnswer: return theme.dial;
    case kinds.datagram: return theme.datagram;
    case kinds.close: case kinds.reset: case kinds.stop: return theme.end;
    default: return theme.control;
  }
}

function readTheme() {
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "panel", "ink", "soft", "line", "lane", "data", "dial", "datagram", "control", "end", "lost", "fault", "down", "pick", "head", "note"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
}

// A canvas in device pixels, drawn in CSS pixels.
function prepare(canvas, height) {
  const ratio = window.devicePixelRatio || 1;
  if (height !== undefined) canvas.style.height = height + "px";
  const { width, height: high } = canvas.getBoundingClientRect();
  const size = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(high * ratio))];
  if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, high);
  return { pen, width, height: high };
}

const DOTS_MAX = 3000;

// Peers on a circle, what is between them, and what is on its way.
class NetworkPicture {
  constructor(canvas, trace) { this.canvas = canvas; this.trace = trace; this.dots = []; }

  place(p, width, height) {
    const shown = this.shown ??= this.trace.peers.map((_, p) => p).filter((p) => this.trace.peers[p].busy);
    const at = shown.indexOf(p), angle = (at / shown.length) * 2 * Math.PI - Math.PI / 2;
    const radius = [Math.max(40, width / 2 - 110), Math.max(30, height / 2 - 54)];
    return [width / 2 + radius[0] * Math.cos(angle), height / 2 - 4 + radius[1] * Math.sin(angle)];
  }

  draw(now, picked, theme) {
    const { trace } = this, { pen, width, height } = prepare(this.canvas);
    const place = trace.peers.map((peer, p) => (peer.busy ? this.place(p, width, height) : null));
    const bands = trace.bands.filter((band) => band.from <= now && now < band.to);
    const linked = this.linked ??= [...new Set(trace.messages.map((m) => Math.min(m.src, m.dst) * 65536 + Math.max(m.src, m.dst)))];
    const many = linked.length > 400;
    pen.lineWidth = 1;
    for (const key of linked) {
      const a = Math.floor(key / 65536), b = key % 65536;
      const cut = bands.some((band) => isCut(trace, band, a, b));
      if (many && !cut) continue;
      pen.strokeStyle = cut ? theme.lost : theme.line;
      pen.setLineDash(cut ? [5, 5] : []);
      pen.beginPath(); pen.moveTo(...place[a]); pen.lineTo(...place[b]); pen.stroke();
    }
    pen.setLineDash([]);
    this.dots = [];
    for (const index of trace.slots.at(now)) {
      const m = trace.messages[index];
      if (!(m.from <= now && now <= m.to) || this.dots.length >= DOTS_MAX) continue;
      this.dots.push({ index, at: along(place[m.src], place[m.dst], shareAt(m, now)) });
    }
    for (const { index, at } of this.dots) {
      const m = trace.messages[index], f = shareAt(m, now);
      const colour = m.lost ? theme.lost : colourOf(trace, m.sent, theme);
      const radius = 3 + Math.min(4, Math.log2(1 + trace.len[m.sent] / 256));
      const tail = along(place[m.src], place[m.dst], Math.max(0, f - 0.09));
      pen.strokeStyle = colour; pen.globalAlpha = 0.35; pen.lineWidth = radius; pen.lineCap = "round";
      pen.beginPath(); pen.moveTo(...tail); pen.lineTo(...at); pen.stroke();
      pen.globalAlpha = 1; pen.fillStyle = colour;
      if (m.lost && f > 0.35) { cross(pen, at, 5, colour); continue; }
      pen.beginPath(); pen.arc(...at, radius, 0, 7); pen.fill();
      if (m.heldAt >= 0 && m.heldAt <= now) { pen.strokeStyle = theme.fault; pen.lineWidth = 1.5; pen.beginPath(); pen.arc(...at, radius + 2.5, 0, 7); pen.stroke(); }
      if (index === picked) { pen.strokeStyle = theme.pick; pen.lineWidth = 2; pen.beginPath(); pen.arc(...at, radius + 4, 0, 7); pen.stroke(); }
    }
    const labelled = this.shown.length <= 120;
    this.shown.forEach((p) => {
      const [x, y] = place[p], down = bands.some((band) => band.kind === "down" && band.peers.includes(p));
      const faulty = bands.some((band) => band.kind === "fault" && band.peers.includes(p));
      const size = this.shown.length > 60 ? 4 : 11;
      pen.beginPath(); pen.arc(x, y, size, 0, 7);
      pen.fillStyle = down ? theme.paper : theme.ink; pen.fill();
      pen.lineWidth = 2.5; pen.strokeStyle = down ? theme.down : faulty ? theme.fault : theme.paper; pen.stroke();
      if (down) cross(pen, [x, y], 4, theme.down);
      if (!labelled) return;
      const side = x > width / 2 + 5 ? "left" : x < width / 2 - 5 ? "right" : "center";
      pen.textAlign = side; pen.textBaseline = "middle"; pen.fillStyle = theme.ink; pen.font = "600 13px system-ui, 'DejaVu Sans', sans-serif";
      const shift = side === "left" ? size + 8 : side === "right" ? -size - 8 : 0;
      const lift = side === "center" ? (y < height / 2 ? -size - 11 : size + 13) : 0;
      pen.fillText(trace.peers[p].name, x + shift, y + lift);
      if (down || faulty) {
        pen.font = "11px system-ui, 'DejaVu Sans', sans-serif"; pen.fillStyle = down ? theme.down : theme.fault;
        pen.fillText(down ? "down" : ills(bands, p), x + shift, y + lift + (side === "center" && y < height / 2 ? -14 : 14));
      }
    });
  }

  // The message at a point of the picture; -1 if there is none.
  pick(x, y) { return nearest(this.dots.map(({ index, at }) => [index, Math.hypot(at[0] - x, at[1] - y)]), 12); }
}

// What is wrong with a peer or its links, in a few words.
function ills(bands, p) {
  const all = [...new Set(bands.filter((band) => band.peers.includes(p)).map((band) => band.short))];
  return all.slice(0, 3).join(", ") + (all.length > 3 ? ", …" : "");
}

// A point of the way between two peers, which bends so that the ways there and back lie apart.
function along([ax, ay], [bx, by], f) {
  const bend = 0.12, cx = (ax + bx) / 2 - (by - ay) * bend, cy = (ay + by) / 2 + (bx - ax) * bend, g = 1 - f;
  return [g * g * ax + 2 * g * f * cx + f * f * bx, g * g * ay + 2 * g * f * cy + f * f * by];
}

function cross(pen, [x, y], r, colour) {
  pen.strokeStyle = colour; pen.lineWidth = 2; pen.beginPath();
  pen.moveTo(x - r, y - r); pen.lineTo(x + r, y + r); pen.moveTo(x + r, y - r); pen.lineTo(x - r, y + r); pen.stroke();
}

function nearest(pairs, most) {
  let best = -1, least = most;
  for (const [index, distance] of pairs) if (distance < least) { least = distance; best = index; }
  return best;
}

const GUTTER = 110, TOP = 26, LINES_MAX = 20000;

// Time from left to right, a lane for each peer, a line for each message, a band for each fault.
class LanesPicture {
  constructor(canvas, trace) {
    this.canvas = canvas; this.trace = trace;
    this.span = [0, trace.end * 1.01];
    this.lanes = trace.peers.map((_, p) => p).filter((p) => trace.peers[p].busy);
    this.laneOf = new Map(this.lanes.map((p, lane) => [p, lane]));
    this.still = document.createElement("canvas");
  }

  x(t) { return GUTTER + ((t - this.span[0]) / (this.span[1] - this.span[0])) * (this.width - GUTTER - 12); }
  t(x) { return this.span[0] + ((x - GUTTER) / (this.width - GUTTER - 12)) * (this.span[1] - this.span[0]); }
  y(p) { return TOP + (this.laneOf.get(p) + 0.5) * this.step; }

  layout() {
    const room = this.canvas.parentElement.clientHeight;
    this.step = Math.max(18, Math.min(150, (room - TOP - 8) / Math.max(1, this.lanes.length)));
    return Math.max(room, TOP + this.step * this.lanes.length + 8);
  }

  draw(now, picked, theme) {
    const { pen, width, height } = prepare(this.canvas, this.layout());
    this.width = width; this.height = height;
    // What does not move with the time is drawn once for each span.
    const key = [...this.span, width, height, theme.paper].join();
    if (this.key !== key) { this.key = key; this.drawStill(theme); }
    pen.save(); pen.setTransform(1, 0, 0, 1, 0, 0); pen.drawImage(this.still, 0, 0); pen.restore();
    if (picked >= 0) this.drawPicked(pen, picked, theme);
    const x = this.x(now);
    if (x >= GUTTER) {
      pen.strokeStyle = theme.head; pen.lineWidth = 1.5; pen.beginPath(); pen.moveTo(x, 16); pen.lineTo(x, height); pen.stroke();
      pen.fillStyle = theme.head; pen.beginPath(); pen.moveTo(x - 5, 12); pen.lineTo(x + 5, 12); pen.lineTo(x, 19); pen.fill();
    }
  }

  drawStill(theme) {
    const { trace, width, height } = this, [from, to] = this.span, ratio = window.devicePixelRatio || 1;
    [this.still.width, this.still.height] = [this.canvas.width, this.canvas.height];
    const pen = this.still.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    this.drawRuler(pen, theme);
    pen.save(); pen.beginPath(); pen.rect(GUTTER, 0, width - GUTTER, height); pen.clip();
    this.drawBands(pen, theme);
    for (const p of this.lanes) {
      pen.strokeStyle = theme.lane; pen.lineWidth = 1; pen.beginPath(); pen.moveTo(GUTTER, this.y(p)); pen.lineTo(width, this.y(p)); pen.stroke();
    }
    this.lines = trace.messages.flatMap((m, i) => (m.to >= from && m.from <= to ? [i] : []));
    // Where there are more lines than pixels, every so manieth says as much.
    const every = Math.ceil(this.lines.length / LINES_MAX);
    this.lines = this.lines.filter((_, i) => i % every === 0);
    const alpha = Math.max(0.12, Math.min(0.85, 900 / Math.max(1, this.lines.length)));
    for (const i of this.lines) this.line(pen, trace.messages[i], theme, alpha);
    pen.globalAlpha = 1;
    for (const entry of trace.log) {
      if (entry.kind !== "note" || entry.at < from || entry.at > to || !this.laneOf.has(trace.src[entry.i])) continue;
      const x = this.x(entry.at), y = this.y(trace.src[entry.i]);
      pen.fillStyle = theme.note; pen.beginPath(); pen.moveTo(x, y - 5); pen.lineTo(x + 4, y); pen.lineTo(x, y + 5); pen.lineTo(x - 4, y); pen.fill();
    }
    pen.restore();
    pen.font = "600 12px system-ui, 'DejaVu Sans', sans-serif"; pen.textAlign = "right"; pen.textBaseline = "middle";
    for (const p of this.lanes) { pen.fillStyle = theme.ink; pen.fillText(shorten(pen, trace.peers[p].name, GUTTER - 22), GUTTER - 12, this.y(p)); }
  }

  line(pen, m, theme, alpha) {
    pen.globalAlpha = alpha; pen.lineWidth = 1.1;
    pen.strokeStyle = m.lost ? theme.lost : colourOf(this.trace, m.sent, theme);
    pen.setLineDash(m.heldAt >= 0 ? [3, 3] : []);
    const [far, away] = this.trail(pen, m);
    pen.setLineDash([]);
    if (m.lost) cross(pen, [far, away], 3, theme.lost);
    else if (m.end >= 0) { pen.fillStyle = pen.strokeStyle; pen.beginPath(); pen.arc(far, away, 1.8, 0, 7); pen.fill(); }
  }

  // The way of a message, from its sender's lane to its receiver's; returns where it ends.
  trail(pen, m) {
    const ends = this.points(m);
    pen.beginPath();
    ends.forEach(([x, y], k) => (k ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.stroke();
    return ends[ends.length - 1];
  }

  points(m) {
    const y = this.y(m.src), down = this.y(m.dst) - y;
    return m.points.map(([t, f]) => [this.x(t), y + down * f]);
  }

  drawRuler(pen, theme) {
    const span = this.span[1] - this.span[0], about = (span / (this.width - GUTTER)) * 120;
    const power = 10 ** Math.floor(Math.log10(about)), step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= about);
    const digits = Math.max(0, Math.min(9, 9 - Math.floor(Math.log10(step))));
    pen.font = "11px system-ui, 'DejaVu Sans', sans-serif"; pen.textAlign = "center"; pen.textBaseline = "middle";
    for (let at = Math.ceil(Math.max(0, this.span[0]) / step) * step; at <= this.span[1]; at += step) {
      pen.strokeStyle = theme.line; pen.lineWidth = 1; pen.beginPath(); pen.moveTo(this.x(at), 18); pen.lineTo(this.x(at), this.height); pen.stroke();
      pen.fillStyle = theme.soft; pen.fillText(seconds(at, digits), this.x(at), 9);
    }
  }

  drawBands(pen, theme) {
    const used = new Map();
    for (const band of this.trace.bands) {
      if (band.to < this.span[0] || band.from > this.span[1]) continue;
      const x = Math.max(GUTTER, this.x(band.from)), wide = Math.max(2, this.x(band.to) - x);
      for (const p of band.everywhere ? this.lanes : band.peers) {
        if (!this.laneOf.has(p)) continue;
        const top = this.y(p) - this.step * 0.46, high = this.step * 0.92, colour = band.kind === "down" ? theme.down : theme.fault;
        pen.globalAlpha = band.kind === "down" ? 0.26 : 0.11; pen.fillStyle = colour; pen.fillRect(x, top, wide, high);
        pen.globalAlpha = 0.75; pen.fillRect(x, top, Math.min(2, wide), high);
        if (this.step < 34 || wide < 46) { pen.globalAlpha = 1; continue; }
        // Labels of bands that overlap stand below each other, as far as there is room.
        const rows = used.get(p) ?? used.set(p, []).get(p);
        let row = rows.findIndex((until) => until < x);
        if (row < 0) row = rows.length;
        pen.font = "10.5px system-ui, 'DejaVu Sans', sans-serif"; pen.textAlign = "left"; pen.textBaseline = "top";
        if ((row + 1) * 12 > high / 2) { pen.globalAlpha = 1; continue; }
        const text = shorten(pen, band.text, wide - 8);
        rows[row] = x + pen.measureText(text).width + 10;
        pen.globalAlpha = 1; pen.fillStyle = colour; pen.fillText(text, x + 5, top + 2 + row * 12);
      }
    }
    pen.globalAlpha = 1;
  }

  // The picked message, and the way that led to it.
  drawPicked(pen, picked, theme) {
    const { trace } = this, chain = [trace.messages[picked].sent, ...causes(trace, trace.messages[picked].sent, 40)];
    pen.save(); pen.beginPath(); pen.rect(GUTTER, 0, this.width, this.height); pen.clip();
    const drawn = new Set();
    pen.globalAlpha = 1;
    for (const i of chain) {
      const index = trace.messageOf[i];
      if (index >= 0 && !drawn.has(index)) {
        drawn.add(index);
        pen.strokeStyle = theme.pick; pen.lineWidth = index === picked ? 3 : 1.8;
        this.trail(pen, trace.messages[index]);
      } else if (index < 0 && this.laneOf.has(trace.src[i])) {
        pen.fillStyle = theme.pick; pen.beginPath(); pen.arc(this.x(trace.t[i]), this.y(trace.src[i]), 4, 0, 7); pen.fill();
      }
    }
    // From a cause to its effect at the same peer.
    for (let k = 0; k + 1 < chain.length; k++) {
      const [effect, cause] = [chain[k], chain[k + 1]];
      if (trace.messageOf[effect] >= 0 && trace.messageOf[effect] === trace.messageOf[cause]) continue;
      const from = trace.dst[cause] >= 0 ? trace.dst[cause] : trace.src[cause], to = trace.src[effect];
      if (!this.laneOf.has(from) || !this.laneOf.has(to)) continue;
      pen.strokeStyle = theme.pick; pen.lineWidth = 3;
      pen.beginPath(); pen.moveTo(this.x(trace.t[cause]), this.y(from)); pen.lineTo(this.x(trace.t[effect]), this.y(to)); pen.stroke();
    }
    pen.restore();
  }

  pick(x, y) {
    const distance = (m) => {
      let least = Infinity;
      const ends = this.points(m);
      for (let k = 1; k < ends.length; k++) {
        const [[ax, ay], [bx, by]] = [ends[k - 1], ends[k]];
        const f = Math.max(0, Math.min(1, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2 || 1)));
        least = Math.min(least, Math.hypot(x - ax - f * (bx - ax), y - ay - f * (by - ay)));
      }
      return least;
    };
    return nearest(this.lines.map((i) => [i, distance(this.trace.messages[i])]), 8);
  }

  zoom(factor, around) {
    const [from, to] = this.span, wide = Math.max(1000, Math.min(this.trace.end * 1.01, (to - from) * factor));
    const share = (around - from) / (to - from);
    this.move(around - share * wide, wide);
  }

  move(from, wide) {
    const most = this.trace.end * 1.01;
    from = Math.max(0, Math.min(most - wide, from));
    this.span = [from, from + wide];
  }
}

function shorten(pen, text, wide) {
  if (pen.measureText(text).width <= wide) return text;
  let len = text.length;
  while (len > 1 && pen.measureText(text.slice(0, len) + "…").width > wide) len--;
  return text.slice(0, len) + "…";
}

// How much happens when, with the span that the lanes show.
class OverviewPicture {
  constructor(canvas, trace) {
    this.canvas = canvas; this.trace = trace;
    this.bins = new Float64Array(400);
    for (let i = 0; i < trace.count; i++) this.bins[Math.min(399, Math.floor((trace.t[i] / trace.end) * 400))]++;
    this.most = Math.log1p(this.bins.reduce((a, b) => Math.max(a, b), 1));
  }

  draw(span, theme) {
    const { trace } = this, { pen, width, height } = prepare(this.canvas);
    // As the thumb of the slider does not reach the very edges.
    const x = (t) => 8 + (t / trace.end) * (width - 16);
    pen.fillStyle = theme.line;
    pen.fillRect(x(span[0]), 0, Math.max(2, x(Math.min(trace.end, span[1])) - x(span[0])), height);
    pen.fillStyle = theme.data; pen.globalAlpha = 0.55;
    this.bins.forEach((count, i) => {
      const high = (Math.log1p(count) / this.most) * (height - 5);
      pen.fillRect(x((i / 400) * trace.end), height - high, (width - 16) / 400 + 0.5, high);
    });
    for (const band of trace.bands) {
      pen.globalAlpha = 0.8; pen.fillStyle = band.kind === "down" ? theme.down : theme.fault;
      pen.fillRect(x(band.from), 0, Math.max(1.5, x(band.to) - x(band.from)), 2);
    }
    pen.globalAlpha = 1;
  }
}
