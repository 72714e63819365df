// Messages as arrows. What is too much to be told apart is left out, the commonest
// kinds first, and the page says which.

const MOST_ARROWS = 2500, MOST_LETTERS = 220;
const drawnArrows = [];
let leftOut = [];

/// Messages that touch what is shown and pass the filters.
function messagesInView() {
  const shown = [];
  const last = placeOf(messages, view.to + 1);
  for (let number = placeOf(messages, view.from - longestDelay); number < last; number += 1) {
    const message = messages[number];
    if (endOf(message) >= view.from && passes(message)) shown.push(message);
  }
  return shown;
}

/// Where an arrow ends; a lost message gets half of its way.
const endOf = (message) => (message.flags & LOST ? message.at + run.usualDelay / 2 : message.arrives);

/// Of these, as many kinds as can be told apart, the rarest first. What was searched
/// and found is always among them.
function affordable(shown) {
  const counts = new Map();
  for (const { shape } of shown) counts.set(shape.name, (counts.get(shape.name) || 0) + 1);
  const names = [...counts].sort((a, b) => a[1] - b[1]);
  const kept = new Set();
  let total = 0;
  leftOut = [];
  for (const [name, count] of names) {
    total += count;
    if (total <= MOST_ARROWS || kept.size === 0 && count <= 2 * MOST_ARROWS) kept.add(name);
    else leftOut.push([name, count]);
  }
  return shown.filter((message) => kept.has(message.shape.name) || (view.found !== null && view.found.has(message)));
}

function lineOf(message) {
  const goesDown = message.to > message.from;
  const edge = (bandHeight() / 2 + 1) * (goesDown ? 1 : -1);
  const [y0, y1] = [laneOf(message.from) + edge, laneOf(message.to) - edge];
  const [x0, x1] = [xOf(message.at), xOf(endOf(message))];
  return { item: message, x0, y0, x1, y1: message.flags & LOST ? y0 + (y1 - y0) * 0.45 : y1 };
}

/// Copies are dashed, repeated messages dotted; answers are thinner than requests.
function styleOf(message) {
  const dash = message.flags & REPLAY ? "1.5 3" : message.flags & COPY ? "6 3" : "";
  const alpha = isFound(message) ? (message.shape.family === "beat" && view.found === null ? 0.6 : 0.95) : 0.12;
  return `${colours[message.shape.family]}|${dash}|${message.shape.isReply ? 0.9 : 1.5}|${alpha}`;
}

function drawArrows(pen) {
  drawnArrows.length = 0;
  for (const message of affordable(messagesInView())) drawnArrows.push(lineOf(message));
  const styles = new Map();
  for (const line of drawnArrows) {
    const style = styleOf(line.item);
    if (!styles.has(style)) styles.set(style, []);
    styles.get(style).push(line);
  }
  pen.save();
  pen.beginPath();
  pen.rect(GUTTER, AXIS, stage.width - GUTTER, stage.height - AXIS);
  pen.clip();
  for (const [style, lines] of styles) drawLines(pen, style, lines);
  for (const line of drawnArrows) drawEnd(pen, line);
  for (const line of drawnArrows) if (line.item.flags & VIOLATES) drawBold(pen, line, colours.bad);
  if (drawnArrows.length <= MOST_LETTERS) for (const line of drawnArrows) drawLetters(pen, line);
  const selected = drawnArrows.find(({ item }) => item === view.selected);
  if (selected) drawBold(pen, selected, colours.accent);
  pen.restore();
  pen.globalAlpha = 1;
}

function drawLines(pen, style, lines) {
  const [colour, dash, width, alpha] = style.split("|");
  [pen.strokeStyle, pen.fillStyle, pen.lineWidth, pen.globalAlpha] = [colour, colour, +width, +alpha];
  pen.setLineDash(dash ? dash.split(" ").map(Number) : []);
  pen.beginPath();
  for (const { x0, y0, x1, y1 } of lines) {
    pen.moveTo(x0, y0);
    pen.lineTo(x1, y1);
  }
  pen.stroke();
  pen.setLineDash([]);
  pen.beginPath();
  for (const { item, x0, y0, x1, y1 } of lines) {
    if (item.flags & LOST) continue;
    const angle = Math.atan2(y1 - y0, x1 - x0);
    pen.moveTo(x1, y1);
    pen.lineTo(x1 - 7 * Math.cos(angle - 0.38), y1 - 7 * Math.sin(angle - 0.38));
    pen.lineTo(x1 - 7 * Math.cos(angle + 0.38), y1 - 7 * Math.sin(angle + 0.38));
  }
  pen.fill();
}

/// A cross for what is lost on its way, a ring for what meets nobody.
function drawEnd(pen, { item, x1, y1 }) {
  const isLost = item.flags & LOST;
  if (!isLost && (drawnArrows.length > 800 || !meetsNobody(item))) return;
  pen.globalAlpha = isFound(item) ? 1 : 0.15;
  pen.strokeStyle = colours.bad;
  pen.lineWidth = 1.6;
  pen.beginPath();
  if (isLost) {
    pen.moveTo(x1 - 3.5, y1 - 3.5); pen.lineTo(x1 + 3.5, y1 + 3.5);
    pen.moveTo(x1 - 3.5, y1 + 3.5); pen.lineTo(x1 + 3.5, y1 - 3.5);
  } else pen.arc(x1, y1, 4, 0, 7);
  pen.stroke();
}

function drawLetters(pen, { item, x0, y0, x1, y1 }) {
  const special = item.flags & REPLAY ? " old" : item.flags & COPY ? " copy" : "";
  const outcome = { rejected: "!", denied: "-", refused: "-", granted: "+" }[item.shape.outcome] || "";
  const words = item.shape.letters + outcome + special;
  // Not all at one height, because answers cross their requests.
  const share = item.flags & LOST ? 0.6 : 0.3 + 0.1 * (item.number % 4);
  const [x, y] = [x0 + (x1 - x0) * share + 3, y0 + (y1 - y0) * share];
  pen.globalAlpha = isFound(item) ? 0.85 : 0.1;
  pen.fillStyle = colours.paper;
  pen.fillRect(x - 1, y - 5, pen.measureText(words).width + 2, 10);
  pen.fillStyle = colours[item.shape.family];
  pen.fillText(words, x, y);
}

function drawBold(pen, { x0, y0, x1, y1 }, colour) {
  pen.globalAlpha = 1;
  pen.strokeStyle = colour;
  pen.lineWidth = 3;
  pen.beginPath();
  pen.moveTo(x0, y0);
  pen.lineTo(x1, y1);
  pen.stroke();
}

/// How far a point is from an arrow.
function distanceTo({ x0, y0, x1, y1 }, x, y) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const along = ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy || 1);
  const share = Math.min(Math.max(along, 0), 1);
  return Math.hypot(x - x0 - share * dx, y - y0 - share * dy);
}

/// What is drawn at a point: a happening, else the nearest arrow.
function itemAt(x, y) {
  const happening = drawnHappenings.find((drawn) => Math.abs(drawn.x - x) <= 7 && Math.abs(drawn.y - y) <= 8);
  if (happening) return happening.item;
  let [nearest, best] = [null, 6];
  for (const line of drawnArrows) {
    const distance = distanceTo(line, x, y);
    if (distance < best) [nearest, best] = [line.item, distance];
  }
  return nearest;
}
