// The lanes: phases behind, roles and terms along, faults and other happenings on them.

const drawnHappenings = [];

/// A pattern of lines or dots, so that nothing is told by colour alone.
function patternOf(pen, kind, colour) {
  const tile = document.createElement("canvas");
  [tile.width, tile.height] = [8, 8];
  const ink = tile.getContext("2d");
  [ink.strokeStyle, ink.fillStyle, ink.lineWidth] = [colour, colour, 1.2];
  ink.beginPath();
  if (kind === "slant") for (const x of [-8, 0, 8]) { ink.moveTo(x, 8); ink.lineTo(x + 8, 0); }
  if (kind === "upright") for (const x of [2, 6]) { ink.moveTo(x, 0); ink.lineTo(x, 8); }
  if (kind === "dots") { ink.arc(2, 2, 1, 0, 7); ink.moveTo(7, 6); ink.arc(6, 6, 1, 0, 7); ink.fill(); }
  ink.stroke();
  return pen.createPattern(tile, "repeat");
}

const isInView = (from, until) => until >= view.from && from <= view.to;

function clipped(from, until) {
  const left = Math.max(xOf(from), GUTTER);
  return [left, Math.max(Math.min(xOf(until), stage.width) - left, 0)];
}

function drawLanes(pen) {
  drawPhases(pen);
  drawAxis(pen);
  drawTrack(pen);
  for (const node of nodes) drawLane(pen, node);
}

function drawPhases(pen) {
  for (const phase of phases.filter(({ from, until }) => isInView(from, until))) {
    const [x, width] = clipped(phase.from, phase.until);
    pen.fillStyle = colours[phase.name];
    pen.fillRect(x, 0, width, stage.height);
    pen.fillStyle = colours.quiet;
    if (width > 70) pen.fillText(phase.name, x + 6, stage.height - 9);
  }
}

/// The step between two lines of the axis: 1, 2 or 5 of some power of ten.
function stepOf(length, count) {
  const raw = length / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= raw);
}

function drawAxis(pen) {
  const step = stepOf(view.to - view.from, stage.width / 110);
  pen.strokeStyle = colours.line;
  pen.fillStyle = colours.quiet;
  pen.lineWidth = 1;
  pen.beginPath();
  for (let at = Math.ceil(view.from / step) * step; at <= view.to; at += step) {
    const x = Math.round(xOf(at)) + 0.5;
    pen.moveTo(x, 0);
    pen.lineTo(x, stage.height);
    pen.fillText(`${+(at / 1000).toFixed(3)} ms`, x + 4, AXIS / 2);
  }
  pen.stroke();
}

/// Above the lanes: which links are cut.
function drawTrack(pen) {
  pen.fillStyle = colours.quiet;
  pen.fillText("cuts", 4, AXIS + TRACK / 2);
  for (const cut of cuts.filter(({ words, from, until }) => words.length > 0 && isInView(from, until))) {
    const [x, width] = clipped(cut.from, cut.until);
    pen.fillStyle = patternOf(pen, "slant", colours.warn);
    pen.fillRect(x, AXIS + 3, width, TRACK - 6);
    const text = ` ${cut.words.join(" ")} `;
    const fits = pen.measureText(text).width < width - 4;
    const words = fits ? text : ` ${cut.words.length} links `;
    if (!fits && pen.measureText(words).width > width - 4) continue;
    pen.fillStyle = colours.paper;
    pen.fillRect(x + 3, AXIS + 3, pen.measureText(words).width, TRACK - 6);
    pen.fillStyle = colours.warn;
    pen.fillText(words, x + 3, AXIS + TRACK / 2);
  }
}

function drawLane(pen, node) {
  const [y, height] = [laneOf(node.place), bandHeight()];
  const top = y - height / 2;
  const isNamed = named.has(node.name);
  pen.fillStyle = isNamed ? colours.bad : colours.ink;
  pen.font = `${isNamed ? "bold " : ""}13px ui-monospace, monospace`;
  pen.fillText(node.name, 8, y);
  pen.font = "11px ui-monospace, monospace";
  pen.strokeStyle = colours.quiet;
  pen.setLineDash([2, 4]);
  pen.beginPath();
  pen.moveTo(GUTTER, y + 0.5);
  pen.lineTo(Math.min(xOf(run.ends), stage.width), y + 0.5);
  pen.stroke();
  pen.setLineDash([]);
  for (const reign of node.reigns) {
    if (isInView(reign.from, reign.until)) drawReign(pen, reign, top, height);
  }
  for (const spell of node.spells) {
    if (isInView(spell.from, spell.until)) drawSpell(pen, spell, top, height);
  }
}

function drawReign(pen, reign, top, height) {
  const [x, width] = clipped(reign.from, reign.until);
  const y = top + height / 2;
  if (reign.role === DOWN) {
    if (width > 40) drawLabel(pen, "down", x + 4, y, colours.quiet);
    return;
  }
  pen.fillStyle = colours[ROLES[reign.role]];
  pen.fillRect(x, top, width, height);
  const pattern = { 1: "dots", 2: "slant" }[reign.role];
  if (pattern) {
    pen.fillStyle = patternOf(pen, pattern, colours.quiet);
    pen.fillRect(x, top, width, height);
  }
  pen.fillStyle = termColour(reign.term);
  pen.fillRect(x, top + height - 4, width, 4);
  if (reign.role === 3) {
    pen.fillRect(x, top, width, 2);
    pen.fillRect(x, top, Math.min(2, width), height);
  }
  const words = `${ROLE_LETTERS[reign.role]} t${reign.term}`;
  pen.fillStyle = colours.ink;
  pen.font = `${reign.role === 3 ? "bold " : ""}11px ui-monospace, monospace`;
  if (pen.measureText(words).width < width - 6) pen.fillText(words, x + 4, y - 1);
  pen.font = "11px ui-monospace, monospace";
}

function drawLabel(pen, words, x, y, colour) {
  pen.fillStyle = colours.paper;
  pen.fillRect(x - 2, y - 6, pen.measureText(words).width + 4, 12);
  pen.fillStyle = colour;
  pen.fillText(words, x, y);
}

function drawSpell(pen, spell, top, height) {
  const [x, width] = clipped(spell.from, spell.until);
  const isPause = spell.kind === 0;
  pen.fillStyle = patternOf(pen, isPause ? "upright" : "slant", isPause ? colours.ink : colours.bad);
  if (isPause) pen.fillRect(x, top, width, height);
  else pen.fillRect(x, top + height + 1, width, 5);
  const words = isPause ? "paused" : "disk hangs";
  const at = isPause ? x + Math.min(50, width / 3) : x + 3;
  if (width < pen.measureText(words).width + 60) return;
  drawLabel(pen, words, at, isPause ? top + height / 2 - 1 : top + height + 6, isPause ? colours.ink : colours.bad);
}

function colourOf(happening) {
  const byGroup = { faults: colours.bad, elections: colours.votes, log: colours.append, members: colours.members, clients: colours.requests, disk: colours.quiet };
  return byGroup[happening.group];
}

/// Above the band what breaks and who leads, below it clients and the disk. Where there
/// is no room for letters there are ticks.
function drawHappenings(pen) {
  drawnHappenings.length = 0;
  const first = placeOf(happenings, view.from);
  const last = placeOf(happenings, view.to + 1);
  const lastX = new Map();
  for (let number = first; number < last; number += 1) {
    const happening = happenings[number];
    if (!happeningPasses(happening)) continue;
    const isBelow = happening.group === "clients" || happening.group === "disk";
    const y = happening.place < 0 ? AXIS + TRACK / 2 : laneOf(happening.place) + (isBelow ? 1 : -1) * (bandHeight() / 2 + 8);
    const x = xOf(happening.at);
    const row = `${happening.place} ${isBelow}`;
    const hasRoom = x - (lastX.get(row) ?? -99) > 13;
    if (hasRoom) lastX.set(row, x);
    drawHappening(pen, happening, x, y, hasRoom);
    drawnHappenings.push({ item: happening, x, y });
  }
}

function drawHappening(pen, happening, x, y, hasRoom) {
  pen.globalAlpha = isFound(happening) ? 1 : 0.15;
  const colour = colourOf(happening);
  const isLoud = happening.group === "faults";
  if (!hasRoom) {
    pen.fillStyle = colour;
    pen.fillRect(x - 0.5, y - 6, 1, 12);
  } else {
    pen.fillStyle = isLoud ? colour : colours.raised;
    pen.strokeStyle = colour;
    pen.lineWidth = 1;
    pen.beginPath();
    if (isLoud) pen.rect(x - 6, y - 6, 12, 12);
    else pen.arc(x, y, 6, 0, 7);
    pen.fill();
    pen.stroke();
    pen.fillStyle = isLoud ? colours.paper : colour;
    pen.textAlign = "center";
    pen.fillText(happening.letter, x, y + 0.5);
    pen.textAlign = "left";
  }
  if (view.selected === happening) {
    pen.strokeStyle = colours.accent;
    pen.lineWidth = 2;
    pen.strokeRect(x - 8, y - 8, 16, 16);
  }
  pen.globalAlpha = 1;
}

function drawCursor(pen) {
  if (run.violation) {
    const x = xOf(run.ends);
    pen.fillStyle = colours.bad;
    pen.fillRect(x - 1, AXIS, 2.5, stage.height);
    const words = run.violation.property;
    pen.font = "bold 12px system-ui, sans-serif";
    const width = pen.measureText(words).width + 10;
    const left = Math.min(x, stage.width) - width;
    if (x >= GUTTER && x <= stage.width + 1) {
      pen.fillRect(left, AXIS + 1, width, 17);
      pen.fillStyle = colours.paper;
      pen.fillText(words, left + 5, AXIS + 10);
    }
  }
  const x = xOf(view.cursor);
  if (x < GUTTER || x > stage.width) return;
  pen.strokeStyle = colours.accent;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(x, AXIS - 4);
  pen.lineTo(x, stage.height);
  pen.stroke();
  pen.font = "11px ui-monospace, monospace";
  const words = `${formatTime(view.cursor)} ms`;
  const width = pen.measureText(words).width + 8;
  const left = Math.min(x, stage.width - width);
  pen.fillStyle = colours.accent;
  pen.fillRect(left, 1, width, AXIS - 4);
  pen.fillStyle = colours.paper;
  pen.fillText(words, left + 4, AXIS / 2 - 1);
}
