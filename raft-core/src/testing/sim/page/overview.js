// The whole run in a strip: phases, how much is said, who leads, faults, and what part
// of it is shown below.

const BUCKET = 2;

const stripX = (at) => ((at - run.begins) / Math.max(run.ends - run.begins, 1)) * strip.width;
const stripTime = (x) => run.begins + (x / strip.width) * (run.ends - run.begins);

function drawOverview(pen) {
  for (const phase of phases) {
    pen.fillStyle = colours[phase.name];
    pen.fillRect(stripX(phase.from), 0, stripX(phase.until) - stripX(phase.from), strip.height);
  }
  drawDensity(pen);
  const row = (strip.height - 20) / run.nodes;
  for (const node of nodes) {
    for (const reign of node.reigns) {
      const [x, width] = [stripX(reign.from), Math.max(stripX(reign.until) - stripX(reign.from), 0.5)];
      const y = 10 + row * node.place;
      pen.fillStyle = reign.role === 3 ? termColour(reign.term) : colours[ROLES[reign.role]] || colours.paper;
      if (reign.role === DOWN) pen.fillRect(x, y + row / 2, width, 0.5);
      else if (reign.role === 3) pen.fillRect(x, y, width, row - 1);
      else pen.fillRect(x, y + row * 0.3, width, row * 0.35);
    }
  }
  pen.fillStyle = colours.bad;
  for (const fault of faults) pen.fillRect(stripX(fault.at), 0, 1, 7);
  if (run.violation) pen.fillRect(strip.width - 3, 0, 3, strip.height);
  pen.fillStyle = colours.quiet;
  for (const phase of phases) pen.fillText(phase.name, stripX(phase.from) + 4, strip.height - 6);
  drawWindow(pen);
}

/// How many messages are sent, along the bottom.
function drawDensity(pen) {
  if (!strip.counts || strip.counts.length !== Math.ceil(strip.width / BUCKET) + 1) {
    strip.counts = new Uint32Array(Math.ceil(strip.width / BUCKET) + 1);
    for (const { at } of messages) strip.counts[Math.max(0, Math.floor(stripX(at) / BUCKET))] += 1;
  }
  const most = strip.counts.reduce((most, count) => Math.max(most, count), 1);
  pen.fillStyle = colours.line;
  strip.counts.forEach((count, place) => {
    const height = (count / most) * (strip.height - 10);
    pen.fillRect(place * BUCKET, strip.height - height, BUCKET, height);
  });
}

function drawWindow(pen) {
  const x = stripX(view.from);
  const width = Math.max(stripX(view.to) - x, 3);
  pen.strokeStyle = colours.accent;
  pen.lineWidth = 2;
  pen.strokeRect(x, 1, width, strip.height - 2);
  pen.fillStyle = colours.accent;
  pen.fillRect(stripX(view.cursor) - 0.5, 0, 1, strip.height);
}
