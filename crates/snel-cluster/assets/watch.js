// Keeps the page up to date from /events; /state.json has the past.

const POINTS = 1200;
const SHOWN = 100;
const get = (id) => document.getElementById(id);
// By run: validations, ESS and what happened.
const past = new Map();
let lastNumber = 0;
// What came while the past was being read, to be taken after it.
let late = null;
let clockSkew = 0;

function of(run) {
  if (!past.has(run)) past.set(run, { validations: [], ess: [], happenings: [], stale: true });
  return past.get(run);
}

// Half of the points are as good a curve.
function thin(points) {
  return points.length > POINTS ? points.filter((_, i) => i % 2 === 0 || i === points.length - 1) : points;
}

function fill(node, fields) {
  for (const place of node.querySelectorAll('[data-f]')) {
    const text = fields[place.dataset.f] ?? '';
    if (place.textContent !== text) place.textContent = text;
  }
}

// Children of `holder` with the attribute `key`, one for each of `items`, made if need be.
function keep(holder, template, key, items, first) {
  const there = new Map([...holder.children].map((node) => [node.dataset[key], node]));
  const nodes = items.map((item) => {
    const node = there.get(item.name) ?? get(template).content.firstElementChild.cloneNode(true);
    node.dataset[key] = item.name;
    there.delete(item.name);
    fill(node, item.shown);
    first?.(node, item);
    return node;
  });
  for (const node of there.values()) node.remove();
  nodes.forEach((node, i) => {
    if (holder.children[i] !== node) holder.insertBefore(node, holder.children[i] ?? null);
  });
}

function show(state) {
  clockSkew = state.now_ms - Date.now();
  keep(get('runs'), 'run-template', 'run', [...state.runs].reverse(), (card, run) => {
    card.dataset.phase = run.phase;
    const bar = card.querySelector('progress');
    bar.max = Math.max(1, run.steps);
    bar.value = run.step;
    const ended = ['finished', 'cancelled', 'failed'].includes(run.phase);
    if (!ended) of(run.name).stale = true;
    of(run.name).ended = ended;
  });
  keep(get('workers'), 'worker-template', 'worker', state.workers);
  get('no-runs').hidden = state.runs.length > 0;
  get('no-workers').hidden = state.workers.length > 0;
  get('workers-table').hidden = state.workers.length === 0;
}

function happened(happening) {
  if (happening.number <= lastNumber) return;
  lastNumber = happening.number;
  const run = of(happening.run);
  run.happenings.push(happening);
  if (run.happenings.length > 500) run.happenings.shift();
  run.stale = true;
  const line = get('happening-template').content.firstElementChild.cloneNode(true);
  line.dataset.kind = happening.kind;
  const time = line.querySelector('time');
  time.dataset.ms = happening.at_ms;
  line.querySelector('.kind').textContent = happening.kind;
  line.querySelector('b').textContent = happening.run;
  line.querySelector('.text').textContent = happening.text;
  local(time);
  const list = get('happenings');
  list.prepend(line);
  while (list.children.length > SHOWN) list.lastElementChild.remove();
}

// The reader's clock instead of the server's.
function local(time) {
  const date = new Date(+time.dataset.ms);
  time.dateTime = date.toISOString();
  time.textContent = date.toLocaleTimeString();
}

function record({ run, record: line }) {
  const curves = of(run);
  const after = (points, step) => !points.length || step > points.at(-1);
  if (line.kind === 'validation') {
    if (!after(curves.validations.map((v) => v.step), line.step)) return;
    curves.validations = thin([...curves.validations, line]);
  } else {
    // Chains have no weights.
    if (line.ess_fraction === undefined) return;
    if (!after(curves.ess.map((p) => p[0]), line.step)) return;
    curves.ess = thin([...curves.ess, [line.step, line.ess_fraction]]);
  }
  curves.stale = true;
}

function draw() {
  for (const card of get('runs').children) {
    const curves = of(card.dataset.run);
    if (!curves.stale) continue;
    curves.stale = false;
    const holder = (name) => card.querySelector(`[data-chart=${name}]`);
    card.querySelector('.figures').hidden = !curves.validations.length && !curves.ess.length;
    const points = (key) => curves.validations.filter((v) => v[key] !== null).map((v) => [v.step, v[key]]);
    const steps = card.querySelector('progress').value;
    const bounds = [
      { name: 'upper', dashed: true, points: points('upper') },
      { name: 'lower', points: points('lower') },
    ];
    chart(holder('bounds').querySelector('.chart'), bounds, { label: 'Bounds', steps });
    const ess = curves.ess.filter((p) => p[1] !== null).map(([step, share]) => [step, 100 * share]);
    chart(holder('ess').querySelector('.chart'), [{ name: 'ESS', points: ess }],
      { label: 'Effective sample size, per cent', floor: 0, ceiling: 100, steps });
    const marks = curves.happenings;
    holder('times').hidden = marks.length === 0;
    if (marks.length) {
      const to = curves.ended ? marks.at(-1).at_ms : Date.now() + clockSkew;
      timeline(holder('times').querySelector('.chart'), marks, marks[0].at_ms, to);
    }
  }
}

// What the server knows takes the place of all that is shown.
async function reload() {
  late = [];
  try {
    const response = await fetch('state.json', { cache: 'no-store' });
    if (!response.ok) throw new Error(response.statusText);
    const state = await response.json();
    past.clear();
    lastNumber = 0;
    get('happenings').replaceChildren();
    for (const run of state.runs) Object.assign(of(run.name), run.curves);
    for (const happening of state.happenings) happened(happening);
    show(state);
  } finally {
    const waiting = late;
    late = null;
    for (const [take, data] of waiting) take(data);
  }
  draw();
}

function tell(text, cut) {
  get('live').textContent = text;
  get('live').parentElement.classList.toggle('cut', cut);
}

function watch() {
  const events = new EventSource('events');
  const on = (name, take) => events.addEventListener(name, ({ data }) => {
    if (late) late.push([take, JSON.parse(data)]);
    else take(JSON.parse(data));
  });
  events.onopen = () => reload().then(() => tell('live', false)).catch(() => tell('no answer', true));
  events.onerror = () => {
    tell('the connection is gone, trying again', true);
    // A browser gives up after an answer that is none; a coordinator that starts again comes back.
    if (events.readyState === EventSource.CLOSED) setTimeout(watch, 3000);
  };
  on('state', show);
  on('happening', happened);
  on('record', record);
  events.addEventListener('missed', () => reload().catch(() => {}));
}

for (const time of document.querySelectorAll('time')) local(time);
setInterval(draw, 1000);
addEventListener('resize', () => past.forEach((curves) => { curves.stale = true; }));
watch();
