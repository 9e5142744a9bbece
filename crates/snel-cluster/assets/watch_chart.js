'use strict';
// Pictures: inline SVG with axes. All text is set as text, never as markup.

const SVG = 'http://www.w3.org/2000/svg';

function element(parent, name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

// Round numbers between two ends: 1, 2 or 5 times a power of ten apart.
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => {
    const value = (first + i) * step;
    return { value, text: value.toFixed(Math.min(digits, 12)).replace('-', '\u2212') };
  });
}

// Steps are long numbers: 1500 is 1.5k.
function short(n) {
  const [scale, unit] = n >= 1e6 ? [1e6, 'M'] : n >= 1e4 ? [1e3, 'k'] : [1, ''];
  return +(n / scale).toFixed(3) + unit;
}

// Where curves are of interest: far outliers below, as of the first steps, may fall off.
function range(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (!sorted.length) return null;
  const at = (q) => sorted[Math.round(q * (sorted.length - 1))];
  const high = sorted[sorted.length - 1];
  let low = Math.max(sorted[0], at(0.3) - 2 * (high - at(0.3)));
  if (sorted.length < 5) low = sorted[0];
  const margin = 0.06 * (high - low) || Math.abs(high) * 0.01 || 1;
  return [low - margin, high + margin];
}

// Draws `curves` ({name, dashed, points: [[step, value]]}) against steps into `holder`.
function chart(holder, curves, { label, floor, ceiling, steps }) {
  const width = Math.max(280, Math.min(620, holder.clientWidth || 500));
  const height = Math.round(Math.max(170, width * 0.42));
  const [left, right, top, bottom] = [58, 52, 8, 40];
  const ends = range(curves.flatMap((c) => c.points.map((p) => p[1])));
  holder.replaceChildren();
  if (!ends) return;
  let [low, high] = ends;
  if (floor !== undefined) low = floor;
  if (ceiling !== undefined) high = Math.min(high, ceiling);
  const reached = Math.max(1, ...curves.flatMap((c) => c.points.map((p) => p[0])));
  const x = (step) => left + ((width - left - right) * step) / reached;
  const y = (value) => top + ((height - top - bottom) * (high - value)) / (high - low);
  const svg = element(holder, 'svg', { viewBox: `0 0 ${width} ${height}`, role: 'img' });
  const last = curves.map((c) => `${c.name} ${c.points.at(-1)?.[1].toPrecision(4)}`).join(', ');
  svg.setAttribute('aria-label', `${label} up to step ${steps}: ${last}`);
  for (const { value, text } of ticks(low, high, 4)) {
    element(svg, 'line', { class: 'grid', x1: left, x2: width - right, y1: y(value), y2: y(value) });
    element(svg, 'text', { x: left - 6, y: y(value) + 4, 'text-anchor': 'end' }, text);
  }
  for (const { value } of ticks(0, reached, width < 400 ? 3 : 5)) {
    element(svg, 'line', { class: 'axis', x1: x(value), x2: x(value), y1: height - bottom, y2: height - bottom + 4 });
    element(svg, 'text', { x: x(value), y: height - bottom + 17, 'text-anchor': 'middle' }, short(value));
  }
  element(svg, 'path', { class: 'axis', d: `M${left} ${top}V${height - bottom}H${width - right}` });
  element(svg, 'text', { x: (left + width - right) / 2, y: height - 6, 'text-anchor': 'middle' }, 'step');
  const below = Math.max(...curves.map((c) => c.points.filter((p) => p[1] < low).length));
  if (below > 0) {
    const text = `${below === 1 ? 'a value is' : `${below} values are`} further below`;
    element(svg, 'text', { x: width - right, y: height - bottom - 6, 'text-anchor': 'end' }, text);
  }
  const inside = (value) => Math.min(Math.max(value, low), high);
  let taken = [];
  for (const { name, dashed, points } of curves) {
    // What falls off the picture is not drawn at its edge as if it were there.
    let pen = 'M';
    let d = '';
    for (const [step, value] of points) {
      const seen = Number.isFinite(value) && value >= low && value <= high;
      if (seen) d += `${pen}${x(step).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = seen ? 'L' : 'M';
    }
    element(svg, 'path', { class: dashed ? 'line dashed' : 'line', d });
    const end = points.findLast((p) => Number.isFinite(p[1]));
    if (!end) continue;
    element(svg, 'circle', { class: 'dot', cx: x(end[0]), cy: y(inside(end[1])), r: 2.5 });
    let at = y(inside(end[1])) + 4;
    // Two names must not lie on each other.
    for (const other of taken) if (Math.abs(other - at) < 13) at = other + (at < other ? -13 : 13);
    taken.push(at);
    element(svg, 'text', { class: 'name', x: x(end[0]) + 7, y: at }, name);
  }
}

// Epochs, losses and recoveries of a run on a line of time.
function timeline(holder, happenings, from, to) {
  const width = Math.max(280, Math.min(1060, holder.clientWidth || 600));
  const [left, right, height] = [70, 14, 112];
  holder.replaceChildren();
  const svg = element(holder, 'svg', { viewBox: `0 0 ${width} ${height}`, role: 'img' });
  const span = Math.max(to - from, 1000);
  const x = (ms) => left + ((width - left - right) * (ms - from)) / span;
  const lanes = { epoch: ['epoch', 18, '▲'], lost: ['lost', 44, '✕'], recovery: ['recovery', 70, '◆'] };
  const counted = [];
  for (const [kind, [name, y, sign]] of Object.entries(lanes)) {
    const of = happenings.filter((h) => h.kind === kind);
    counted.push(`${of.length} times ${name}`);
    element(svg, 'text', { x: 0, y: y + 4 }, name);
    element(svg, 'line', { class: 'grid', x1: left, x2: width - right, y1: y, y2: y });
    of.forEach(({ at_ms, text }, i) => {
      const mark = element(svg, 'text', { class: `mark ${kind}`, x: x(at_ms), y: y + 5 }, sign);
      element(mark, 'title', {}, text);
      const words = kind === 'epoch' ? text.match(/^epoch (\d+)/)?.[1] : kind === 'recovery' ? text.match(/[\d.]+ m?s/)?.[0] : '';
      // Words stand where nothing else does.
      const place = x(at_ms) + 9;
      const next = i + 1 < of.length ? x(of[i + 1].at_ms) - 8 : width;
      if (words && place + 7 * words.length < next) element(svg, 'text', { x: place, y: y + 4 }, words);
    });
  }
  const clock = (ms) => new Date(ms).toLocaleTimeString();
  element(svg, 'line', { class: 'axis', x1: left, x2: width - right, y1: 88, y2: 88 });
  element(svg, 'text', { x: left, y: 105 }, clock(from));
  element(svg, 'text', { x: width - right, y: 105, 'text-anchor': 'end' }, clock(to));
  svg.setAttribute('aria-label', `From ${clock(from)} to ${clock(to)}: ${counted.join(', ')}`);
}
