// What part of the run is shown, how, and where things are on the screen.

const view = {
  from: run.begins, to: run.ends,
  cursor: run.begins,
  selected: null, // a message or a happening
  hidden: new Set(), // names of messages that are not drawn
  hiddenGroups: new Set(["clients", "disk"]),
  only: new Set(), // nodes; empty for all
  words: "", found: null, // what is searched, and what was found
};
const SHORTEST = 500, GUTTER = 44, AXIS = 20, TRACK = 20;

const byId = (id) => document.getElementById(id);
const stage = { canvas: byId("lanes"), width: 0, height: 0 };
const strip = { canvas: byId("overview"), width: 0, height: 0 };
let colours = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "raised", "ink", "quiet", "line", "accent", "bad", "warn", "warm-up", "faults", "healed",
    "follower", "pre-candidate", "candidate", "leader", "votes", "append", "beat", "reads", "requests",
    "members", "snapshot", "repair", "term-text", "term-light"];
  colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
}

/// Neighbouring terms look different; the number is always written beside.
const HUES = [212, 28, 145, 275, 55, 185, 320, 95];
const termColour = (term) => (term === 0 ? colours.quiet : `hsl(${HUES[term % HUES.length]} 62% ${colours["term-light"]})`);

/// Fits a canvas to its element, and answers its context in CSS pixels.
function prepare(surface) {
  const { canvas } = surface;
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
  }
  [surface.width, surface.height] = [width, height];
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "11px ui-monospace, 'DejaVu Sans Mono', monospace";
  pen.textBaseline = "middle";
  return pen;
}

const xOf = (at) => GUTTER + ((at - view.from) / (view.to - view.from)) * (stage.width - GUTTER);
const timeAt = (x) => view.from + ((x - GUTTER) / (stage.width - GUTTER)) * (view.to - view.from);
const laneHeight = () => Math.max(34, (stage.height - AXIS - TRACK) / run.nodes);
const laneOf = (place) => AXIS + TRACK + laneHeight() * (place + 0.55);
const bandHeight = () => (laneHeight() < 50 ? 14 : 18);

/// Shows this stretch, as far as the run has it, with a margin after its end.
function show(from, to) {
  const whole = Math.max(run.ends - run.begins, SHORTEST);
  const length = Math.min(Math.max(to - from, SHORTEST), whole);
  const latest = Math.max(run.begins, run.ends + 0.06 * length - length);
  view.from = Math.min(Math.max(from, run.begins), latest);
  view.to = view.from + length;
  redraw();
}

function zoom(factor, around = view.cursor) {
  const anchor = around < view.from || around > view.to ? (view.from + view.to) / 2 : around;
  const length = Math.max((view.to - view.from) * factor, SHORTEST);
  const share = (anchor - view.from) / (view.to - view.from);
  show(anchor - length * share, anchor + length * (1 - share));
}

const pan = (share) => show(view.from + share * (view.to - view.from), view.to + share * (view.to - view.from));

/// Puts the cursor there, and shows it.
function goTo(at, length = view.to - view.from) {
  view.cursor = Math.min(Math.max(at, run.begins), run.ends);
  const isThere = at >= view.from && at <= view.to && length === view.to - view.from;
  if (isThere) redraw();
  else show(at - length * 0.6, at + length * 0.4);
}

/// Whether the filters let a message through.
function passes(message) {
  if (view.hidden.has(message.shape.name)) return false;
  return view.only.size === 0 || view.only.has(message.from) || view.only.has(message.to);
}

function happeningPasses(happening) {
  if (view.hiddenGroups.has(happening.group)) return false;
  return view.only.size === 0 || happening.place < 0 || view.only.has(happening.place);
}

const isFound = (item) => view.found === null || view.found.has(item);

let isDue = false;

/// Draws everything anew with the next frame.
function redraw() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(drawAll);
}

function drawAll() {
  isDue = false;
  const pen = prepare(stage);
  drawLanes(pen);
  drawArrows(pen);
  drawHappenings(pen);
  drawCursor(pen);
  drawOverview(prepare(strip));
  fillPanels();
}
