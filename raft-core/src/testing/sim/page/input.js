// Mouse, keys, buttons and filters; and where the page opens.

function fillHeader() {
  byId("seed").textContent = run.seed;
  const spares = run.nodes - run.founders;
  const facts = [
    ["plan", run.plan], ["nodes", `${run.founders}${spares ? ` and ${spares} spare` : ""}`],
    ["length", `${formatTime(run.ends)} ms`], ["events", formatCount(run.events)],
    ["messages", formatCount(messages.length)], ["terms led", String(leaders.length)], ["trace hash", run.hash],
  ];
  if (run.forgotten) facts.push(["left out", `all before ${formatTime(run.begins)} ms: ${formatCount(run.forgotten)} messages and happenings`]);
  byId("facts").replaceChildren(...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  byId("replay").querySelector("code").textContent = run.replay;
  if (!run.violation) return;
  byId("verdict").hidden = false;
  byId("verdict").querySelector("strong").textContent = `violates ${run.violation.property}`;
  byId("verdict").querySelector("span").textContent = run.violation.reason;
}

function fillHelp() {
  const arrow = (dash, words) => `<p><svg width="44" height="10"><line x1="1" y1="5" x2="42" y2="5" stroke="currentColor" stroke-width="1.6" stroke-dasharray="${dash}"/></svg> ${words}</p>`;
  byId("help").querySelector("div").innerHTML = `
    <h2>Lanes</h2>
    <p>F follower, P pre-candidate (dots), C candidate (slanted lines), L leader (framed); the term is written and underlined in its colour. A dotted line is a node that is down, upright lines a paused one, slanted lines under the band a disk that hangs.</p>
    <h2>Arrows</h2>
    ${arrow("", "a message, from its sending to its arrival; an answer is thinner and its letters end in '")}
    ${arrow("6 3", "a second copy")}${arrow("1.5 3", "an old message, repeated by the network")}
    <p>Colours: <b style="color:var(--votes)">votes</b>, <b style="color:var(--append)">entries</b>, <b style="color:var(--beat)">heartbeats, commit</b>, <b style="color:var(--reads)">reads</b>, <b style="color:var(--requests)">proposals</b>, <b style="color:var(--members)">members</b>, <b style="color:var(--snapshot)">snapshots</b>, <b style="color:var(--repair)">repair</b>; the letters are those of the list of messages.</p>
    <p>A cross: lost on its way. A ring: arrives at a node that is down. Letters: + granted, - denied or refused, ! rejected.</p>
    <h2>Marks</h2>
    <p>${run.kinds.map(([, letter, name]) => `<b class="mono">${letter}</b> ${name}`).join(", ")}</p>
    <h2>Logs</h2>
    <p>The number is the entry's term, m a membership, b a blank entry. A bar below: committed. A dot: applied. A dashed frame: not durable. Pale: in a snapshot. Struck through: damaged.</p>
    <h2>Keys</h2>
    <p><kbd>&larr;</kbd> <kbd>&rarr;</kbd> move, with shift further; <kbd>+</kbd> <kbd>-</kbd> zoom, <kbd>0</kbd> the whole run; <kbd>,</kbd> <kbd>.</kbd> the event before and after; <kbd>n</kbd> <kbd>f</kbd> next leader, next fault, with shift the one before; <kbd>v</kbd> the violation; <kbd>/</kbd> search, <kbd>enter</kbd> the next found; <kbd>esc</kbd> clears selection and search.</p>
    <p>The wheel zooms, with shift it moves; dragging moves; a click selects.</p>`;
}

/// A button that is on or off.
function chip(words, isOn, toggle, title = words) {
  const made = element("button", { type: "button", title, "aria-pressed": String(isOn()) }, words);
  made.addEventListener("click", () => {
    toggle();
    refreshChips();
    redraw();
  });
  made.isOn = isOn;
  return made;
}

function refreshChips() {
  for (const made of document.querySelectorAll(".chips button")) {
    if (made.isOn) made.setAttribute("aria-pressed", String(made.isOn()));
  }
  const names = new Set(shapes.map(({ name }) => name));
  const shown = [...names].filter((name) => !view.hidden.has(name)).length;
  byId("kinds").querySelector("summary").textContent = `messages ${shown} of ${names.size}`;
}

function flip(set, key) {
  if (!set.delete(key)) set.add(key);
}

function fillFilters() {
  const counts = new Map();
  for (const { shape } of messages) counts.set(shape.name, (counts.get(shape.name) || 0) + 1);
  const kinds = byId("kinds").querySelector("div");
  const all = (words, change) => {
    const made = element("button", { type: "button" }, words);
    made.addEventListener("click", () => { change(); refreshChips(); redraw(); });
    return made;
  };
  kinds.append(all("show all", () => view.hidden.clear()), all("hide all", () => shapes.forEach(({ name }) => view.hidden.add(name))));
  for (const [name, count] of [...counts].sort((a, b) => b[1] - a[1])) {
    const { letters } = shapes.find((shape) => shape.name === name);
    kinds.append(chip(`${letters} ${name} ${formatCount(count)}`, () => !view.hidden.has(name), () => flip(view.hidden, name)));
  }
  const groups = [...new Set(run.kinds.map(([group]) => group))];
  byId("groups").append(...groups.map((group) => chip(group, () => !view.hiddenGroups.has(group), () => flip(view.hiddenGroups, group), `marks: ${group}`)));
  byId("only").append(...nodes.map((node) => chip(node.name, () => view.only.has(node.place), () => flip(view.only, node.place), `only what concerns ${node.name}`)));
  refreshChips();
}

/// Finds what holds these words; nothing is dimmed if there are none.
function search(words) {
  view.words = words.trim().toLowerCase();
  view.found = null;
  if (view.words) {
    const holds = (text) => text.toLowerCase().includes(view.words);
    const inMessages = messages.filter((m) => holds(`n${m.from + 1}>n${m.to + 1} ${wordsOf(m)} ${m.flags ? fateOf(m) : ""}`));
    const inHappenings = happenings.filter((h) => holds(`${h.place < 0 ? "all" : `n${h.place + 1}`} ${h.name} ${h.text}`));
    view.found = new Set([...inMessages, ...inHappenings].sort((a, b) => a.at - b.at));
  }
  byId("search").querySelector("output").textContent = view.found === null ? "" : `${formatCount(view.found.size)} found`;
  redraw();
}

/// Selects the next of these items after the cursor, or the last before it.
function step(items, direction) {
  const rest = items.filter((item) => item !== view.selected || item.at !== view.cursor);
  const next = direction > 0
    ? rest.find(({ at }) => at > view.cursor)
    : rest.findLast(({ at }) => at < view.cursor);
  if (!next) return;
  if (next.number !== undefined) view.selected = next;
  goTo(next.at);
}

function stepEvent(direction) {
  const line = [...byId("list").children].filter((made) => made.item);
  step(line.map((made) => made.item), direction);
}

/// As much before the violation as can be read.
function goToViolation() {
  if (!run.violation) return;
  const recent = messages.length > 0 ? messages[Math.max(0, messages.length - 60)].at : run.begins;
  const length = Math.min(Math.max(1.2 * (run.ends - recent), 2000), 300_000);
  view.cursor = run.ends;
  show(run.ends - 0.94 * length, run.ends + 0.06 * length);
}

function clearAll() {
  view.selected = null;
  byId("search").querySelector("input").value = "";
  search("");
}

const ACTIONS = {
  in: () => zoom(0.5), out: () => zoom(2), fit: () => show(run.begins, run.ends),
  leader: () => step(leaders, 1), "leader-back": () => step(leaders, -1),
  fault: () => step(faults, 1), "fault-back": () => step(faults, -1),
};

const KEYS = {
  ArrowLeft: () => pan(-0.1), ArrowRight: () => pan(0.1),
  "shift ArrowLeft": () => pan(-0.8), "shift ArrowRight": () => pan(0.8),
  Home: () => goTo(run.begins), End: () => goTo(run.ends),
  "+": ACTIONS.in, "=": ACTIONS.in, "-": ACTIONS.out, 0: ACTIONS.fit,
  n: ACTIONS.leader, N: ACTIONS["leader-back"], f: ACTIONS.fault, F: ACTIONS["fault-back"],
  ",": () => stepEvent(-1), ".": () => stepEvent(1),
  v: goToViolation, "/": () => byId("search").querySelector("input").focus(), Escape: clearAll,
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.tagName === "INPUT";
  if (isTyping && event.key !== "Escape") return;
  const isArrow = event.key.startsWith("Arrow");
  const action = KEYS[event.shiftKey && isArrow ? `shift ${event.key}` : event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function onWheel(event) {
  event.preventDefault();
  const move = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
  if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan(Math.sign(move) * 0.1);
  else zoom(1.0015 ** event.deltaY, timeAt(event.offsetX));
}

/// Follows a pointer that is held; without moving it is a click.
function onHeld(surface, moved, clicked) {
  surface.canvas.addEventListener("pointerdown", (down) => {
    surface.canvas.setPointerCapture(down.pointerId);
    let [last, isDrag] = [down.offsetX, false];
    const follow = (move) => {
      isDrag ||= Math.abs(move.offsetX - down.offsetX) > 3;
      if (isDrag) moved(move.offsetX, move.offsetX - last);
      last = move.offsetX;
    };
    surface.canvas.addEventListener("pointermove", follow);
    surface.canvas.addEventListener("pointerup", (up) => {
      surface.canvas.removeEventListener("pointermove", follow);
      if (!isDrag) clicked(up.offsetX, up.offsetY);
    }, { once: true });
  });
}

function onClick(x, y) {
  view.selected = itemAt(x, y);
  view.cursor = view.selected ? view.selected.at : Math.min(Math.max(timeAt(x), run.begins), run.ends);
  redraw();
}

function onHover(event) {
  const item = event.buttons === 0 ? itemAt(event.offsetX, event.offsetY) : null;
  const tip = byId("tip");
  tip.hidden = item === null;
  if (item === null) return;
  tip.textContent = isMessage(item) ? [wordsOf(item), fateOf(item)].filter(Boolean).join(" \u2014 ") : `${item.name}: ${item.text}`;
  tip.style.left = `${Math.min(event.offsetX + 12, stage.width - 300)}px`;
  tip.style.top = `${event.offsetY + 14}px`;
}

function listen() {
  stage.canvas.addEventListener("wheel", onWheel, { passive: false });
  stage.canvas.addEventListener("pointermove", onHover);
  stage.canvas.addEventListener("pointerleave", () => { byId("tip").hidden = true; });
  onHeld(stage, (_, by) => pan(-by / (stage.width - GUTTER)), onClick);
  const center = (x) => {
    const half = (view.to - view.from) / 2;
    show(stripTime(x) - half, stripTime(x) + half);
  };
  onHeld(strip, center, center);
  document.addEventListener("keydown", onKey);
  for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", ACTIONS[button.dataset.do]);
  byId("verdict").querySelector("button").addEventListener("click", goToViolation);
  byId("replay").querySelector("button").addEventListener("click", () => navigator.clipboard?.writeText(run.replay));
  const input = byId("search").querySelector("input");
  input.addEventListener("input", () => search(input.value));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && view.found) step([...view.found], event.shiftKey ? -1 : 1);
  });
  byId("list").addEventListener("click", (event) => {
    const { item } = event.target.closest("li") || {};
    if (!item) return;
    view.selected = item;
    goTo(item.at);
  });
  // At once: what is drawn for another size would be stretched for a moment.
  new ResizeObserver(drawAll).observe(byId("stage"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); redraw(); });
}

/// At the milliseconds that the address asks for, as `#1234.5`; at the violation, with
/// what led to it; else where the first leader comes to lead, with
/// what follows.
function open() {
  const asked = /^#(\d+(\.\d+)?)$/.exec(location.hash);
  if (asked) {
    view.from = view.to = -1;
    goTo(asked[1] * 1000, 200_000);
    return;
  }
  if (run.violation) {
    goToViolation();
    return;
  }
  view.cursor = leaders.length ? leaders[0].at : run.begins;
  const length = Math.min(200_000, run.ends - run.begins);
  show(view.cursor - length * 0.3, view.cursor + length * 0.7);
}

readColours();
fillHeader();
fillHelp();
fillFilters();
listen();
open();
