"use strict";
// A trace as the simulator writes it, and what follows from it. The format is described in `trace/file.rs`.

const MAGIC = "P2PSIM\0\u0002";
const RECORD_BYTES = 64;

class Reader {
  constructor(bytes) { this.view = new DataView(bytes.buffer); this.bytes = bytes; this.at = 0; }
  u32() { this.at += 4; return this.view.getUint32(this.at - 4, true); }
  // Exact up to 2^53 ns, which is 104 days.
  u64() { return this.u32() + this.u32() * 2 ** 32; }
  key() { this.at += 8; return this.view.getBigUint64(this.at - 8, true); }
  text() { const len = this.u32(); this.at += len; return new TextDecoder().decode(this.bytes.subarray(this.at - len, this.at)); }
  list(read) { return Array.from({ length: this.u32() }, read); }
}

function readTrace(bytes, names) {
  const reader = new Reader(bytes);
  reader.at = MAGIC.length;
  if (new TextDecoder("latin1").decode(bytes.subarray(0, reader.at)) !== MAGIC) throw new Error("not a trace of this version");
  const header = reader.text();
  const named = new Map(reader.list(() => [reader.key(), reader.text()]));
  const faults = new Map(reader.list(() => [reader.u64(), {
    id: reader.text(), what: reader.text(), place: reader.text(), peers: reader.list(() => reader.key()),
  }]));
  const notes = new Map(reader.list(() => [reader.u64(), reader.text()]));
  const total = reader.u64();
  const count = reader.u64();

  const peers = [], indexes = new Map();
  const peer = (key) => {
    if (key === 0n) return -1;
    if (!indexes.has(key)) {
      indexes.set(key, peers.length);
      peers.push({ name: named.get(key) ?? key.toString(16), busy: false });
    }
    return indexes.get(key);
  };
  const trace = {
    header, faults, notes, total, count, peers, names,
    t: new Float64Array(count), parent: new Float64Array(count), event: new Uint8Array(count), what: new Uint8Array(count),
    again: new Uint16Array(count), stream: new Uint32Array(count), src: new Int32Array(count), dst: new Int32Array(count),
    conn: new Float64Array(count), len: new Uint32Array(count), first: 0,
  };
  for (let i = 0; i < count; i++, reader.at += RECORD_BYTES) {
    const view = reader.view, at = reader.at;
    const u64 = (offset) => view.getUint32(at + offset, true) + view.getUint32(at + offset + 4, true) * 2 ** 32;
    if (i === 0) trace.first = u64(8);
    trace.t[i] = u64(0);
    trace.parent[i] = u64(16) - trace.first;
    trace.event[i] = bytes[at + 24];
    trace.what[i] = bytes[at + 25];
    trace.again[i] = view.getUint16(at + 26, true);
    trace.stream[i] = view.getUint32(at + 28, true);
    trace.src[i] = peer(view.getBigUint64(at + 32, true));
    trace.dst[i] = peer(view.getBigUint64(at + 40, true));
    trace.conn[i] = u64(48);
    trace.len[i] = view.getUint32(at + 56, true);
  }
  for (const fault of faults.values()) fault.peers = fault.peers.map(peer);
  trace.end = count > 0 ? Math.max(1, trace.t[count - 1]) : 1;
  findMessages(trace);
  findBands(trace);
  return trace;
}

// Messages: a sending, and what became of it.
function findMessages(trace) {
  const { event, t, src, dst, parent, count } = trace;
  const { sent, arrived, held, lost } = trace.names.events;
  const messages = [];
  const bySending = trace.messageOf = new Int32Array(count).fill(-1);
  for (let i = 0; i < count; i++) {
    if (event[i] === sent) {
      bySending[i] = messages.length;
      messages.push({ sent: i, end: -1, from: t[i], to: trace.end, src: src[i], dst: dst[i], lost: false, heldAt: -1, reach: 1 });
      trace.peers[src[i]].busy = trace.peers[dst[i]].busy = true;
    } else if ((event[i] === arrived || event[i] === held || event[i] === lost) && bySending[parent[i]] >= 0) {
      const message = messages[bySending[i] = bySending[parent[i]]];
      if (event[i] === held) { if (message.heldAt < 0) message.heldAt = t[i]; continue; }
      message.end = i;
      message.to = t[i];
      message.lost = event[i] === lost;
    }
  }
  const typical = new Map(), way = (m) => m.src * 65536 + m.dst;
  for (const m of messages) if (m.end >= 0 && !m.lost && m.heldAt < 0) typical.set(way(m), m.to - m.from);
  for (const m of messages) m.points = pointsOf(m, typical.get(way(m)) ?? 5e7);
  trace.messages = messages;
  trace.slots = slots(messages, trace.end);
}

// Where a message is when, as pairs of a time and a share of its way. In between it moves evenly.
function pointsOf(m, typical) {
  if (m.lost && m.to <= m.from) {
    // What is lost is so from the moment it leaves; it is shown for half of the way.
    m.reach = 0.5;
    m.to = m.from + typical / 2;
  } else if (m.heldAt >= 0 && m.heldAt <= m.from) {
    // It met a partition as it left, and waits for its sender to try again.
    const leaves = Math.max(m.from, m.end < 0 || m.lost ? m.to : m.to - typical);
    return [[m.from, 0], [Math.min(leaves, m.from + typical / 10), 0.07], [leaves, 0.07], [m.to, m.end < 0 || m.lost ? 0.07 : 1]];
  } else if (m.heldAt >= 0) {
    // It waits at the end of its way.
    return [[m.from, 0], [m.heldAt, 0.9], [m.to, 0.9], [m.to, m.end < 0 || m.lost ? 0.9 : 1]];
  }
  return [[m.from, 0], [m.to, m.reach]];
}

function shareAt(m, now) {
  const { points } = m;
  for (let k = 1; k < points.length; k++) {
    const [[t0, f0], [t1, f1]] = [points[k - 1], points[k]];
    if (now <= t1) return t1 > t0 ? f0 + (f1 - f0) * Math.max(0, (now - t0) / (t1 - t0)) : f1;
  }
  return points[points.length - 1][1];
}

// Messages by the parts of the run in which they are under way, so that a moment's are found without looking at all.
function slots(messages, end) {
  const count = 2048;
  const lists = Array.from({ length: count }, () => []);
  const slot = (t) => Math.min(count - 1, Math.floor((t / end) * count));
  messages.forEach((m, i) => { for (let s = slot(m.from); s <= slot(Math.min(m.to, end)); s++) lists[s].push(i); });
  return { at: (t) => lists[slot(t)] };
}

// Bands: what lasts. Faults, partitions made by hand, peers that are down.
function findBands(trace) {
  const { event, what, t, src, dst, conn, count, names } = trace;
  const kinds = names.kinds, open = new Map(), bands = [], log = [];
  const begin = (key, band) => { open.set(key, band); bands.push(band); };
  const end = (key, at) => { const band = open.get(key); if (band) { band.to = at; open.delete(key); } };
  for (let i = 0; i < count; i++) {
    const at = t[i];
    switch (what[i]) {
      case kinds.fault: {
        const fault = trace.faults.get(conn[i]) ?? { id: "", what: "a fault", place: "", peers: [] };
        const what = fault.what.replace(/[{}"]/g, "").replace(/\s+/g, " ").trim();
        const text = (fault.id ? fault.id + ": " : "") + what + (fault.place === "*" ? " everywhere" : " at " + fault.place);
        begin("fault " + conn[i], { from: at, to: trace.end, text, short: what.split(" ")[0], peers: fault.peers, everywhere: fault.peers.length === 0, cut: fault.what === "partition", place: fault.place, kind: "fault" });
        log.push({ i, at, text, kind: "fault" });
        break;
      }
      case kinds.faultEnd:
        end("fault " + conn[i], at);
        log.push({ i, at, text: "ends: " + (trace.faults.get(conn[i])?.id || "a fault"), kind: "fault" });
        break;
      case kinds.partition:
        begin("cut " + src[i] + " " + dst[i], { from: at, to: trace.end, text: "partition", short: "partition", peers: [src[i], dst[i]], pair: [src[i], dst[i]], kind: "fault" });
        log.push({ i, at, text: `partition ${trace.peers[src[i]].name} → ${trace.peers[dst[i]].name}`, kind: "fault" });
        break;
      case kinds.heal:
        end("cut " + src[i] + " " + dst[i], at);
        log.push({ i, at, text: `healed ${trace.peers[src[i]].name} → ${trace.peers[dst[i]].name}`, kind: "fault" });
        break;
      case kinds.crash:
        begin("down " + src[i], { from: at, to: trace.end, text: "down", peers: [src[i]], kind: "down" });
        log.push({ i, at, text: trace.peers[src[i]].name + " crashes", kind: "down" });
        break;
      case kinds.restart:
        end("down " + src[i], at);
        log.push({ i, at, text: trace.peers[src[i]].name + " restarts", kind: "down" });
        break;
      case kinds.note:
        if (trace.peers[src[i]]) trace.peers[src[i]].busy = true;
        log.push({ i, at, text: (trace.peers[src[i]]?.name ?? "") + ": " + (trace.notes.get(i + trace.first) ?? "a note"), kind: "note" });
        break;
    }
  }
  trace.bands = bands;
  trace.log = log;
}

// Whether a message between two peers would be cut off at that moment.
function isCut(trace, band, a, b) {
  if (band.pair) return band.pair.includes(a) && band.pair.includes(b);
  if (!band.cut) return false;
  if (band.everywhere) return true;
  const inside = (p) => band.peers.includes(p);
  return band.place.includes("->") ? inside(a) && inside(b) : inside(a) !== inside(b);
}

// A record in words.
function describe(trace, i) {
  const name = (p) => trace.peers[p]?.name ?? "?";
  const what = trace.names.whats[trace.what[i]] ?? "something", event = trace.names.verbs[trace.event[i]] ?? "";
  const where = trace.dst[i] >= 0 ? ` ${name(trace.src[i])} → ${name(trace.dst[i])}` : trace.src[i] >= 0 ? ` of ${name(trace.src[i])}` : "";
  const size = trace.len[i] > 0 && trace.what[i] !== trace.names.kinds.note ? `, ${trace.len[i]} bytes` : "";
  const note = trace.notes.get(i + trace.first);
  return `${what}${where}${size} ${event}${note ? ": " + note : ""}`;
}

// The records that led to this one, the nearest first.
function causes(trace, i, most) {
  const chain = [];
  for (let at = i; chain.length < most; ) {
    const parent = trace.parent[at];
    // The first record is the cause of what has none.
    if (!(parent > 0 && parent < at)) break;
    chain.push(parent);
    at = parent;
  }
  return chain;
}

function seconds(ns, digits = 6) { return (ns / 1e9).toFixed(digits) + " s"; }
