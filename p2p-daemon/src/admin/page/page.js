'use strict';
// Asks for status.json each second and draws it. Text from the daemon only ever becomes text, never markup.

const PERIOD_MS = 1000;
const PATIENCE_MS = 4000;
/** Peers in the picture; the table has all. */
const DRAWN_MAX = 24;
const SVG = 'http://www.w3.org/2000/svg';
const $ = id => document.getElementById(id);

/** An element with attributes and children; strings become text. */
function make(name, attributes, ...children) {
  const svg = ['g', 'line', 'circle', 'text', 'rect', 'polyline', 'title'].includes(name);
  const element = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter(child => child !== null));
  return element;
}

// Figures, as a person would say them.

function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) { count /= 1024; unit += 1; }
  return (unit === 0 || count >= 100 ? count.toFixed(0) : count.toFixed(1)) + ' ' + units[unit];
}
const rate = perSecond => perSecond === null ? '–' : bytes(perSecond) + '/s';
function millis(seconds) {
  if (seconds === null) return '–';
  return (seconds * 1000).toFixed(seconds < 0.01 ? 2 : seconds < 0.1 ? 1 : 0) + ' ms';
}
function lasting(seconds) {
  const [d, h, m, s] = [seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60].map(Math.floor);
  return d ? `${d} d ${h} h` : h ? `${h} h ${m} min` : m ? `${m} min ${s} s` : `${s} s`;
}
const clock = unix => new Date(unix * 1000).toLocaleTimeString();
const short = id => id.slice(0, 10);
const kind = peer => peer.state !== 'connected' ? 'waiting' : peer.path || 'waiting';
const called = peer => peer.name || short(peer.peer);

// The connection that is chosen, by mouse or keyboard, in the graph or in the table.
let chosen = null;
function choose(id) {
  chosen = chosen === id ? null : id;
  for (const element of document.querySelectorAll('[data-peer]')) {
    element.classList.toggle('chosen', element.dataset.peer === chosen);
  }
}
function choosable(element, id) {
  element.dataset.peer = id;
  element.setAttribute('tabindex', '0');
  element.classList.toggle('chosen', id === chosen);
  element.addEventListener('click', () => choose(id));
  element.addEventListener('keydown', event => {
    if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); choose(id); }
  });
  return element;
}

function describe(peer) {
  const how = { direct: 'directly', relayed: 'through a relay', waiting: peer.state }[kind(peer)];
  return `${called(peer)}, ${how}` + (peer.rtt_seconds === null ? '' : `, round trip ${millis(peer.rtt_seconds)}`);
}

function drawGraph(status) {
  const [x, y] = [320, 200];
  const peers = status.peers.slice(0, DRAWN_MAX);
  const parts = peers.map((peer, index) => {
    const angle = 2 * Math.PI * index / peers.length - Math.PI / 2;
    const [px, py] = [x + 235 * Math.cos(angle), y + 145 * Math.sin(angle)];
    const [mx, my] = [(x + px) / 2, (y + py) / 2];
    // The label stands beside the line: above one that lies, to the right of one that stands.
    const [tx, ty] = [mx + 36 * Math.abs(Math.sin(angle)), my + 4 - 18 * Math.abs(Math.cos(angle))];
    const way = kind(peer);
    const group = make('g', { class: way, role: 'button', 'aria-label': describe(peer) },
      make('title', {}, describe(peer)),
      make('line', { x1: x, y1: y, x2: px, y2: py }),
      way === 'relayed' ? make('rect', { x: mx - 9, y: my - 9, width: 18, height: 18, rx: 4 }) : null,
      make('circle', { cx: px, cy: py, r: 16 }),
      make('text', { x: px, y: py > y + 60 ? py + 36 : py - 25 }, called(peer)),
      peer.rtt_seconds === null ? null
        : make('text', { x: tx, y: ty, class: 'dim' }, millis(peer.rtt_seconds)));
    return choosable(group, String(peer.connection));
  });
  const self = make('g', { class: 'self' }, make('circle', { cx: x, cy: y, r: 26 }),
    make('text', { x, y: y + 5, class: 'on' }, 'here'));
  const more = status.peers.length - peers.length;
  replace($('graph'), ...parts, self, more ? make('text', { x: 570, y: 390, class: 'dim' }, `and ${more} more, below`) : '');
}

/** Replaces the children, and gives the focus back to the peer's element that had it. */
function replace(parent, ...children) {
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.peer : undefined;
  parent.replaceChildren(...children);
  if (focused) parent.querySelector(`[data-peer="${CSS.escape(focused)}"]`)?.focus();
}

function drawPeers(status) {
  replace($('peers').tBodies[0], ...status.peers.map(peer => choosable(make('tr', {},
    make('th', { scope: 'row' }, make('span', { class: peer.name ? '' : 'id', title: peer.peer }, called(peer))),
    make('td', { class: kind(peer), title: peer.via || '' }, kind(peer) === 'waiting' ? peer.state : peer.path),
    make('td', { class: 'n' }, millis(peer.rtt_seconds)),
    make('td', { class: 'n' }, bytes(peer.bytes_received)),
    make('td', { class: 'n' }, bytes(peer.bytes_sent)),
    make('td', { class: 'n' }, String(peer.streams)),
    make('td', { class: 'n' }, lasting(status.at - peer.since))), String(peer.connection))));
  $('no-peers').hidden = status.peers.length > 0;
}

function does(rule) {
  const limit = rule.bandwidth ? `, at most ${rule.bandwidth}` : '';
  return rule.kind === 'share' ? `shares ${rule.to} with ${rule.allow}${limit}` : `${rule.from} → ${rule.to}${limit}`;
}

function drawRules(status) {
  $('rules').tBodies[0].replaceChildren(...status.rules.map(rule => make('tr', {},
    make('th', { scope: 'row' }, rule.name),
    make('td', { class: 'says' }, does(rule), rule.problem ? make('span', { class: 'bad' }, ` ${rule.problem}`) : null),
    make('td', { class: 'n' }, String(rule.counters.streams + rule.counters.flows)),
    make('td', { class: 'n' }, String(rule.counters.streams_opened + rule.counters.flows_opened)),
    make('td', { class: 'n' }, bytes(rule.counters.bytes_in)),
    make('td', { class: 'n' }, bytes(rule.counters.bytes_out)),
    make('td', { class: rule.counters.errors ? 'n bad' : 'n' }, String(rule.counters.errors)))));
  $('no-rules').hidden = status.rules.length > 0;
}

function drawChart(svg, lines, label, format) {
  const [width, height] = [svg.viewBox.baseVal.width, svg.viewBox.baseVal.height];
  const top = Math.max(...lines.flatMap(line => line.values.map(value => value ?? 0)), Number.MIN_VALUE) * 1.1;
  // A gap in the values is a gap in the line.
  const runs = lines.flatMap(({ values, name }) => {
    const found = [[]];
    values.forEach((value, index) => {
      if (value === null) { found.push([]); return; }
      const across = values.length < 2 ? width : index * width / (values.length - 1);
      found.at(-1).push(`${across.toFixed(1)},${(height - value / top * height).toFixed(1)}`);
    });
    return found.filter(run => run.length).map(run => make('polyline', { class: name, points: run.join(' ') }));
  });
  svg.replaceChildren(make('line', { x1: 0, y1: height, x2: width, y2: height }), make('line', { x1: 0, y1: 0, x2: width, y2: 0 }), ...runs);
  svg.setAttribute('aria-label', `${label}, at most ${format(top / 1.1)}`);
  let axis = svg.nextElementSibling;
  if (!axis) { axis = make('div', { class: 'axis' }); svg.after(axis); }
  axis.replaceChildren(make('span', {}, `${lines.length ? span(lines[0].values.length) : ''} ago`), make('span', {}, `most ${format(top / 1.1)}`), make('span', {}, 'now'));
}
let period = 1;
const span = samples => lasting(Math.max(samples - 1, 0) * period);

function drawTraffic({ history }) {
  period = history.period_seconds;
  drawChart($('traffic'), [{ name: 'in', values: history.bytes_in }, { name: 'out', values: history.bytes_out }], 'Bytes received and sent each second', rate);
  drawChart($('rtt'), [{ name: 'rtt', values: history.rtt_seconds }], 'Round trip, the median of all peers', millis);
  $('in-now').textContent = rate(history.bytes_in.at(-1) ?? null);
  $('out-now').textContent = rate(history.bytes_out.at(-1) ?? null);
  $('rtt-now').textContent = millis(history.rtt_seconds.at(-1) ?? null);
}

function drawHealth(status) {
  const wrong = status.checks.filter(check => check.problem);
  $('health').className = 'badge ' + (status.ready ? 'good' : 'bad');
  $('health').textContent = status.ready ? 'ready' : `not ready: ${wrong.map(check => check.name).join(', ')}`;
  $('checks').replaceChildren(...status.checks.map(check => make('li', {},
    make('span', { class: check.problem ? 'bad' : 'direct', 'aria-hidden': 'true' }, check.problem ? '✗' : '✓'),
    make('span', {}, check.name), make('span', { class: 'dim' }, check.problem || 'well'))));
}

const TROUBLE = { peer_gone: 'relayed', peer_refused: 'relayed', reload_failed: 'bad' };
const HAPPENED = {
  peer_connected: 'connected', peer_gone: 'gone', path_changed: 'another path', peer_refused: 'not let in',
  rules_changed: 'The rules have changed', reload_failed: 'The new configuration was not taken', draining: 'Ending',
};
function said(event) {
  const who = event.peer ? `${event.name || short(event.peer)} ` : '';
  const what = HAPPENED[event.kind] || event.kind.replaceAll('_', ' ');
  return `${who}${what}${event.text ? `: ${event.text}` : ''}`;
}

let newest = null;
function drawEvents(status) {
  const last = status.events.at(-1);
  if (last && last.number === newest) return;
  newest = last?.number;
  $('events').replaceChildren(...status.events.toReversed().map(event => make('li', {},
    make('time', { datetime: new Date(event.at * 1000).toISOString() }, clock(event.at)),
    make('span', { class: TROUBLE[event.kind] || '' }, said(event)))));
  $('no-events').hidden = status.events.length > 0;
}

const PHASES = ['', 'everything over the tunnel', 'what begins anew goes over P2P', 'existing clients move to P2P', 'P2P alone'];
function drawMigration({ migration }) {
  $('migration').hidden = !migration;
  if (!migration) return;
  const { figures } = migration;
  const more = [
    migration.rolled_back ? `rolled back: ${migration.rolled_back}` : null,
    migration.tunnel_is_refused ? 'the tunnel is refused'
      : migration.drain_seconds_left === null ? null : `the tunnel is served for another ${migration.drain_seconds_left} s`,
    migration.p2p_is_left_alone ? 'P2P is left alone for a while' : null,
    `${migration.percentage}% of the clients take part`,
    migration.shadow ? `${migration.shadow}% of the requests are shadowed` : null,
  ];
  $('phase').replaceChildren(make('b', {}, `Phase ${migration.phase}: ${PHASES[migration.phase]}`), ` · ${more.filter(Boolean).join(' · ')}`);
  $('routes').tBodies[0].replaceChildren(...[['tunnel', figures.legacy], ['P2P', figures.p2p]].map(([name, side]) => make('tr', {},
    make('th', { scope: 'row' }, name),
    ...['routed', 'failed', 'requests_in_flight', 'websockets_in_flight'].map(key => make('td', { class: key === 'failed' && side[key] ? 'n bad' : 'n' }, String(side[key]))))));
  $('moved').textContent = `${figures.fallbacks} took the other route, ${figures.refused} had none, ${figures.cut_requests + figures.cut_websockets} were cut, ${figures.rollbacks} rollbacks`
    + (figures.shadow_same + figures.shadow_different ? `, shadowed: ${figures.shadow_same} same and ${figures.shadow_different} different` : '');
}

function draw(status) {
  document.title = `${status.ready ? '' : '⚠ '}p2pd ${short(status.peer)}`;
  $('who').replaceChildren(make('span', { class: 'id', title: status.peer }, short(status.peer)), ` · up for ${lasting(status.at - status.since)}`);
  $('about').textContent = `p2pd ${status.version} · ${status.stack}`;
  for (const part of [drawHealth, drawGraph, drawPeers, drawTraffic, drawMigration, drawRules, drawEvents]) part(status);
}

let answered = null;
async function look() {
  try {
    const response = await fetch('status.json', { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!response.ok) throw new Error(`it answered ${response.status}`);
    draw(await response.json());
    answered = Date.now() / 1000;
    $('gone').hidden = true;
    document.body.classList.remove('stale');
  } catch (error) {
    const since = answered === null ? '' : ` since ${clock(answered)}; what is shown is from then`;
    const said = `p2pd does not answer${since} (${error.name === 'TimeoutError' ? 'no answer in time' : error.message}). Trying again.`;
    if ($('gone').textContent !== said) $('gone').textContent = said;
    $('gone').hidden = false;
    document.body.classList.add('stale');
    $('health').className = 'badge bad';
    $('health').textContent = 'no answer';
    document.title = '✗ p2pd';
  }
  setTimeout(look, PERIOD_MS);
}
look();
