// Draws the page of `cairn replay` from its figures: bars, curves with the values under the pointer, and for each
// policy the address space at the moment that the slider shows. Plain JavaScript on canvases; nothing is fetched.
// SPDX-License-Identifier: MIT
'use strict';
const all = JSON.parse(document.getElementById('figures').textContent);
const byId = id => document.getElementById(id);
const colors = ['#d6503c', '#e69614', '#5aa032', '#00968c', '#286ed2', '#7850c8', '#c84696', '#6e5a46', '#808080'];
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const count = n => Math.round(n).toLocaleString('en');
const bytes = n => n >= 1 << 30 ? (n / (1 << 30)).toFixed(2) + ' GiB' : n >= 1 << 20 ? (n / (1 << 20)).toFixed(2) + ' MiB'
  : n >= 1024 ? (n / 1024).toFixed(1) + ' KiB' : n + ' B';
const events = all.program.events, policies = all.policies;
policies.forEach((p, i) => { p.color = colors[i % colors.length]; });

function element(name, text, parent) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}
function hint(event, text) {
  const box = byId('hint');
  box.textContent = text;
  box.style.visibility = text ? 'visible' : 'hidden';
  box.style.left = Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8) + 'px';
  box.style.top = event.clientY + 14 + 'px';
}

// A canvas as wide as the page, in CSS pixels whatever the screen has.
function prepare(canvas, height) {
  const width = canvas.clientWidth, scale = devicePixelRatio || 1;
  canvas.style.height = height + 'px';
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext('2d');
  pen.scale(scale, scale);
  pen.font = '11px system-ui, sans-serif';
  return { pen, width, height };
}

// ---- words and the table
function words() {
  const p = all.program;
  document.title = 'cairn replay ' + all.trace;
  byId('title').textContent = p.command.join(' ') || all.trace;
  byId('about').textContent = `${all.trace}: ${count(events)} events of ${p.threads} thread${p.threads === 1 ? '' : 's'}, ` +
    `recorded in ${(p.recorded_ns / 1e9).toFixed(2)} s; most alive ${bytes(p.peak_live_bytes)} in ` +
    `${count(p.peak_live_objects)} objects; asked for in all ${bytes(p.taken_bytes)}`;
  const left = Object.entries(p.not_played).filter(([, n]) => n > 0).map(([what, n]) => `${count(n)} ${what.replace(/_/g, ' ')}`);
  byId('notes').textContent = [left.length ? 'Not played: ' + left.join(', ') + '.' : '', p.warning].join(' ').trim();
  byId('alone').textContent = `Playing alone, without any allocator: ${(all.player_ns / 1e9).toFixed(3)} s, in all of these.`;
  const table = byId('table'), head = element('tr', undefined, table);
  for (const name of ['policy', 'seconds', 'ns/event', 'most memory', '/ live', 'waste', 'visited/op', 'most', 'splits', 'merges', ''])
    element('th', name, head);
  for (const p of policies) {
    const row = element('tr', undefined, table), name = element('td', undefined, row);
    element('span', undefined, name).className = 'swatch';
    name.firstChild.style.background = p.color;
    name.append(p.policy);
    const searches = p.visited_per_operation !== undefined && p.policy !== 'bump';
    for (const text of [(p.ns / 1e9).toFixed(3), p.ns_per_event.toFixed(1), bytes(p.peak_footprint_bytes),
      p.is_complete ? p.footprint_over_live.toFixed(3) : '-', (100 * p.internal_waste).toFixed(1) + ' %',
      searches ? p.visited_per_operation.toFixed(2) : '-', searches ? count(p.most_visited) : '-',
      searches ? count(p.splits) : '-', searches ? count(p.merges) : '-', p.ending === 'complete' ? '' : p.ending])
      element('td', text, row);
  }
  const key = byId('key');
  for (const p of [...policies, { policy: 'alive', color: 'var(--ink)' }]) {
    const one = element('span', undefined, key);
    const swatch = element('span', undefined, one);
    swatch.className = 'swatch';
    swatch.style.background = p.color;
    one.append(p.policy);
  }
}

// ---- curves: lines of [event, value], with the values under the pointer
function curves(id, height, lines, format, most, isLogarithmic) {
  const canvas = byId(id), { pen, width } = prepare(canvas, height);
  const right = 80, bottom = 18, w = width - right, h = height - bottom - 6;
  const rise = v => isLogarithmic ? Math.log10(1 + v) / Math.log10(1 + most) : v / most;
  const x = event => event / events * w, y = v => 6 + h * (1 - Math.min(rise(Math.max(v, 0)), 1));
  pen.fillStyle = css('--sheet');
  pen.fillRect(0, 6, w, h);
  for (let i = 0; i <= 4; ++i) {
    const value = isLogarithmic ? Math.pow(1 + most, i / 4) - 1 : most * i / 4;
    pen.fillStyle = css('--faint');
    pen.fillRect(0, Math.round(y(value)), w, 1);
    pen.fillStyle = css('--grey');
    pen.fillText(format(value), w + 6, y(value) + 4);
  }
  for (let i = 0; i <= 4; ++i) {
    pen.textAlign = i === 0 ? 'left' : i === 4 ? 'right' : 'center';
    pen.fillText(count(events * i / 4), w * i / 4, height - 4);
  }
  pen.textAlign = 'left';
  pen.lineWidth = 1.5;
  for (const line of lines) {
    pen.strokeStyle = line.color === 'ink' ? css('--ink') : line.color;
    pen.beginPath();
    line.points.forEach(([e, v], i) => i ? pen.lineTo(x(e), y(v)) : pen.moveTo(x(e), y(v)));
    pen.stroke();
  }
  canvas.onmouseleave = event => hint(event, '');
  canvas.onmousemove = event => {
    const at = event.offsetX / w * events;
    if (at > events) return hint(event, '');
    const values = lines.map(line => {
      const point = line.points.reduce((a, b) => Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a, line.points[0]);
      return point ? `${line.name}: ${format(point[1])}` : '';
    });
    hint(event, [`event ${count(at)}`, ...values].join('\n'));
  };
}
const highest = lines => Math.max(1, ...lines.flatMap(line => line.points.map(([, v]) => v)));

function allCurves() {
  const memory = policies.map(p => ({ name: p.policy, color: p.color, points: p.moments.map(m => [m[0], m[3]]) }));
  const alive = { name: 'alive', color: 'ink', points: policies.length ? policies[0].moments.map(m => [m[0], m[2]]) : [] };
  const bounded = memory.filter(line => line.name !== 'bump');
  curves('memory', 260, [...memory, alive], bytes, highest([...bounded, alive]) * 1.02, false);
  const visits = policies.filter(p => p.visited > 0).map(p => ({
    name: p.policy, color: p.color,
    points: p.moments.slice(1).map((m, i) => [m[0], (m[4] - p.moments[i][4]) / Math.max(1, m[0] - p.moments[i][0])])
  }));
  curves('visits', 220, visits, v => v < 10 ? v.toFixed(2) : count(v), highest(visits), true);
  const waste = policies.filter(p => p.policy !== 'bump').map(p => ({
    name: p.policy, color: p.color, points: p.frames.map(f => [f[0], Math.max(0, f[3] - f[1])])
  }));
  curves('waste', 220, waste, bytes, highest(waste), false);
}

// ---- address spaces
const unpack = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
function mix(from, to, share) {
  const part = (a, i) => parseInt(a.slice(1 + 2 * i, 3 + 2 * i), 16);
  return 'rgb(' + [0, 1, 2].map(i => Math.round(part(from, i) + (part(to, i) - part(from, i)) * share)).join(',') + ')';
}
const cellSize = 9;

function makeSpaces() {
  for (const p of policies) {
    p.frameCells = p.cells.frames.map(unpack);
    p.gapBefore = new Map(p.cells.gaps);
    if (!p.cells.addresses.length) continue;
    const box = element('div', undefined, byId('spaces'));
    const title = element('h2', undefined, box);
    p.caption = element('span', p.policy, title);
    const save = element('button', 'save PNG', title);
    p.canvas = element('canvas', undefined, box);
    p.canvas.id = 'space-' + policies.indexOf(p);
    save.dataset.save = p.canvas.id;
    p.canvas.onmouseleave = event => hint(event, '');
    p.canvas.onmousemove = event => describe(p, event);
  }
}
// The frame of a policy that comes nearest before a moment.
function frameAt(p, event) {
  let best = 0;
  p.frames.forEach((frame, i) => { if (frame[0] <= event) best = i; });
  return best;
}
function drawSpace(p, palette) {
  const cells = p.frameCells[p.shown], across = Math.max(1, Math.floor(p.canvas.clientWidth / cellSize));
  p.across = across;
  const { pen } = prepare(p.canvas, Math.ceil(cells.length / across) * cellSize + 2);
  for (let i = 0; i < cells.length; ++i) {
    const x = i % across * cellSize, y = Math.floor(i / across) * cellSize;
    pen.fillStyle = palette[cells[i]];
    pen.fillRect(x, y, cellSize - 1, cellSize - 1);
    if (p.gapBefore.has(i)) { pen.fillStyle = css('--ink'); pen.fillRect(x - 1, y, 1, cellSize - 1); }
  }
  const frame = p.frames[p.shown];
  p.caption.textContent = `${p.policy}: ${bytes(frame[4])} of memory for ${bytes(frame[1])} alive in ${count(frame[2])} objects; ` +
    `${bytes(p.cells.cell_bytes)} a cell`;
}
function describe(p, event) {
  const cell = Math.floor(event.offsetY / cellSize) * p.across + Math.floor(event.offsetX / cellSize);
  const value = p.frameCells[p.shown][cell];
  if (value === undefined) return hint(event, '');
  const state = value === 0 ? 'no memory' : value === 1 ? 'memory, nothing alive' : `${Math.round((value - 2) / 2.53)} % alive`;
  const gap = p.gapBefore.has(cell) ? `\nbehind a gap of ${bytes(p.gapBefore.get(cell))}` : '';
  hint(event, `0x${p.cells.addresses[cell]}, ${bytes(p.cells.cell_bytes)}\n${state}${gap}`);
}
function showMoment() {
  const at = byId('moment').value / 1000 * events;
  byId('when').textContent = `event ${count(at)} of ${count(events)}`;
  const palette = [css('--gone'), css('--held')];
  for (let i = 0; i < 254; ++i) palette.push(mix(css('--thin'), css('--full'), i / 253));
  for (const p of policies.filter(p => p.canvas)) {
    const frame = frameAt(p, at);
    if (frame === p.shown && !p.isStale) continue;
    p.shown = frame;
    p.isStale = false;
    drawSpace(p, palette);
  }
}
function redraw() {
  allCurves();
  for (const p of policies) p.isStale = true;
  showMoment();
}

words();
makeSpaces();
byId('moment').value = Math.round((all.program.peak_event + 1) / events * 1000);
byId('moment').addEventListener('input', showMoment);
addEventListener('resize', redraw);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
document.addEventListener('click', event => {
  const id = event.target.dataset && event.target.dataset.save;
  if (!id) return;
  const link = document.createElement('a');
  link.download = `replay-${id}.png`;
  link.href = byId(id).toDataURL('image/png');
  link.click();
});
redraw();
