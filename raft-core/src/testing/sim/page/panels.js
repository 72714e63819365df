// Below the lanes: nodes and their logs at the cursor, what is selected, and what
// happens around it.

const LISTED = 24;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function fillPanels() {
  byId("span").textContent = `${formatTime(view.from)} to ${formatTime(view.to)} ms`;
  const note = byId("left-out");
  const total = leftOut.reduce((sum, [, count]) => sum + count, 0);
  note.hidden = total === 0;
  note.textContent = `too dense to draw: ${leftOut.map(([name, count]) => `${formatCount(count)} ${name}`).join(", ")}; zoom in, or filter`;
  fillNodes();
  fillDetails();
  fillList();
}

function fillNodes() {
  const box = byId("nodes");
  const key = `${view.cursor} ${box.clientWidth}`;
  if (box.key === key) return;
  box.key = key;
  const longest = Math.max(1, ...nodes.map((node) => logAt(node, view.cursor).length));
  const room = Math.max(4, Math.floor((box.clientWidth - 470) / 22));
  const first = Math.max(1, longest - room + 1);
  const table = element("table");
  const before = first > 1 ? `; before them ${first - 1} older ones` : "";
  const caption = `at ${formatTime(view.cursor)} ms: logs from i${first} to i${longest}${before}`;
  table.append(element("caption", {}, caption));
  const names = ["node", "role", "term", "vote", "commit", "applied", "durable", "last"];
  const head = element("tr", {}, ...names.map((name) => element("th", {}, name)));
  head.append(element("th", {}, scaleOf(first, longest)));
  table.append(head, ...nodes.map((node) => rowOf(node, first, longest)));
  box.replaceChildren(table);
}

function scaleOf(first, last) {
  const cells = [];
  for (let index = first; index <= last; index += 1) {
    cells.push(element("span", { class: "entry" }, index === first || index % 5 === 0 ? `${index}` : ""));
  }
  return element("div", { class: "log scale" }, ...cells);
}

function rowOf(node, first, last) {
  const state = stateAt(node, view.cursor);
  if (state === null) return element("tr", {}, element("td", {}, node.name));
  const isUp = state.role !== DOWN;
  const life = state.incarnation > 0 ? `#${state.incarnation}` : "";
  const busy = [...spellsAt(node, view.cursor), ...(state.broken ? ["for ever"] : [])];
  const role = element("span", { class: `role role-${state.role}` }, [ROLES[state.role], ...busy].join(", "));
  const cells = [`t${state.term}`, state.vote ? `n${state.vote}` : "-", isUp ? state.commit : "-", state.applied, state.durable, state.last];
  const row = element("tr", { title: isUp ? run.texts[state.members] : "what its disk holds" });
  row.append(element("td", { class: named.has(node.name) ? "named" : "" }, node.name + life), element("td", {}, role));
  row.append(...cells.map((cell) => element("td", {}, String(cell))));
  row.append(element("td", {}, logOf(node, state, first, last)));
  return row;
}

function logOf(node, state, first, last) {
  const [log, damaged] = [logAt(node, view.cursor), damageAt(node, view.cursor)];
  const boxes = [];
  for (let index = first; index <= last; index += 1) {
    if (index > log.length) boxes.push(element("span", { class: "entry absent" }));
    else boxes.push(boxOf(index, log[index - 1], state, damaged.has(index)));
  }
  return element("div", { class: "log" }, ...boxes);
}

function boxOf(index, [term, value], state, isDamaged) {
  const marks = [
    [index <= state.commit, "committed"], [index <= state.applied, "applied"],
    [index > state.durable, "volatile"], [index <= state.purged, "purged"], [isDamaged, "damaged"],
  ];
  const classes = marks.filter(([is]) => is).map(([, name]) => name);
  const holds = value > 0 ? `writes ${value}` : value < 0 ? "a membership" : "blank";
  const box = element("span", { class: ["entry", ...classes].join(" "), style: `background:${termColour(term)}` }, String(term));
  if (value <= 0) box.dataset.kind = value < 0 ? "m" : "b";
  const words = classes.map((name) => ({ volatile: "not durable", purged: "in a snapshot" })[name] || name);
  box.title = `i${index}, t${term}: ${holds}${words.length ? "; " + words.join(", ") : ""}`;
  return box;
}

const isMessage = (item) => item.shape !== undefined;

function fillDetails() {
  const item = view.selected;
  const box = byId("details");
  if (box.item === item && box.childElementCount > 0) return;
  box.item = item;
  if (item === null) {
    box.replaceChildren(element("h2", {}, "Nothing selected"), "Click an arrow, a mark or a line of the list.");
    return;
  }
  const [title, facts] = isMessage(item) ? factsOfMessage(item) : factsOfHappening(item);
  const pairs = facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
  box.replaceChildren(element("h2", {}, title), element("dl", {}, ...pairs));
}

function factsOfMessage(message) {
  const { shape, from, to, at, arrives, term, flags } = message;
  const delay = flags & LOST ? [] : [["arrives", `${formatTime(arrives)} ms, after ${formatTime(arrives - at)}`]];
  const fate = fateOf(message);
  const title = `${shape.name}${shape.outcome ? ", " + shape.outcome : ""}`;
  const facts = [["from, to", `n${from + 1} > n${to + 1}`], ["sent", `${formatTime(at)} ms`], ...delay];
  return [title, [...facts, ...(fate ? [["way", fate]] : []), ["term", `t${term}`], ...factsOf(message)]];
}

function factsOfHappening({ name, place, at, text }) {
  const where = place < 0 ? "the group" : `n${place + 1}`;
  return [name, [["where", where], ["when", `${formatTime(at)} ms`], ["what", text]]];
}

/// What happens right before and after the cursor, as far as filters let it through.
function fillList() {
  const key = [view.cursor, view.words, [...view.hidden], [...view.hiddenGroups], [...view.only]].join();
  const list = byId("list");
  if (list.key !== key) {
    list.key = key;
    list.replaceChildren(...linesAround(view.cursor));
    list.querySelector(".now")?.scrollIntoView({ block: "center" });
  }
  for (const line of list.children) {
    if (line.item === view.selected && line.item) line.setAttribute("aria-current", "true");
    else line.removeAttribute("aria-current");
  }
}

function linesAround(at) {
  const passing = (item) => isFound(item) && (isMessage(item) ? passes(item) : happeningPasses(item));
  const near = (items, step, from) => {
    const found = [];
    for (let place = from; place >= 0 && place < items.length && found.length < LISTED; place += step) {
      if (passing(items[place])) found.push(items[place]);
    }
    return found;
  };
  const [m, h] = [placeOf(messages, at + 1), placeOf(happenings, at + 1)];
  const inOrder = (a, b) => a.at - b.at;
  const before = [...near(happenings, -1, h - 1), ...near(messages, -1, m - 1)].sort(inOrder).slice(-LISTED);
  const after = [...near(happenings, 1, h), ...near(messages, 1, m)].sort(inOrder).slice(0, LISTED);
  return [...before.map((item) => lineFor(item, "")), element("li", { class: "now" }), ...after.map((item) => lineFor(item, "later"))];
}

function lineFor(item, when) {
  const where = isMessage(item) ? `n${item.from + 1}>n${item.to + 1}` : item.place < 0 ? "all" : `n${item.place + 1}`;
  const words = isMessage(item) ? wordsOf(item) : `${item.letter} ${item.text}`;
  const line = element("li", { class: `${when} ${item.flags & LOST ? "lost" : ""}`, title: words });
  line.append(...[formatTime(item.at), where, words].map((text) => element("span", {}, text)));
  line.item = item;
  return line;
}
