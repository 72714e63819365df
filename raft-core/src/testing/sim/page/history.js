// How things stood at a moment.

/// How a node showed itself at `at`, or nothing before its first word.
function stateAt(node, at) {
  const place = placeOf(node.states, at + 1) - 1;
  return place < 0 ? null : node.states[place];
}

/// What the log of a node held at `at`: [term, value] of each entry from index 1 on.
function logAt(node, at) {
  const count = placeOf(node.logs, at + 1);
  let [log, next] = node.kept && node.kept.count <= count ? [node.kept.log, node.kept.count] : [[], 0];
  for (; next < count; next += 1) {
    const { from, entries } = node.logs[next];
    log.length = Math.min(log.length, from - 1);
    for (let i = 0; i < entries.length; i += 2) log.push([entries[i], entries[i + 1]]);
  }
  node.kept = { count, log };
  return log;
}

/// Which entries of a node were damaged at `at`.
function damageAt(node, at) {
  const place = placeOf(node.damage, at + 1) - 1;
  return place < 0 ? new Set() : node.damage[place].damaged;
}

/// What keeps a node busy at `at`, in words.
function spellsAt(node, at) {
  const open = node.spells.filter((spell) => spell.from <= at && at < spell.until);
  return open.map((spell) => (spell.kind === 0 ? "paused" : "disk hangs"));
}

/// Stretches in which a node keeps role and term.
function reignsOf(node) {
  const reigns = [];
  for (const state of node.states) {
    const last = reigns[reigns.length - 1];
    const from = Math.max(state.at, run.begins);
    if (last && last.role === state.role && last.term === state.term) continue;
    if (last) last.until = from;
    reigns.push({ from, until: run.ends, role: state.role, term: state.term });
  }
  return reigns;
}

for (const node of nodes) node.reigns = reignsOf(node);

/// Everybody who ever began to lead.
const leaders = nodes
  .flatMap((node) => node.reigns.filter((reign) => reign.role === 3).map((reign) => ({ at: reign.from, place: node.place, term: reign.term })))
  .sort((a, b) => a.at - b.at);

const faults = happenings.filter((happening) => happening.group === "faults");

/// Stretches in which links are cut: those that are cut, as pairs of names.
const cuts = run.cuts.map(([at, ...links], place) => {
  const until = place + 1 < run.cuts.length ? run.cuts[place + 1][0] : run.ends;
  const words = links.map((link) => `n${Math.floor(link / run.nodes) + 1}>n${(link % run.nodes) + 1}`);
  return { from: at, until, words };
});

const phases = run.phases.map(([from, name], place) => {
  const until = place + 1 < run.phases.length ? run.phases[place + 1][0] : run.ends;
  return { from, until, name };
});

/// Whether a message that is not lost meets a node that is down.
function meetsNobody(message) {
  if (message.flags & LOST || message.arrives > run.ends) return false;
  const state = stateAt(nodes[message.to], message.arrives - 1);
  return state !== null && state.role === DOWN;
}

/// What became of a message, in words.
function fateOf(message) {
  const words = [];
  if (message.flags & COPY) words.push("a second copy");
  if (message.flags & REPLAY) words.push("an old message, repeated by the network");
  if (message.flags & SLOW) words.push("slow");
  if (message.flags & VIOLATES) words.push("never sent: what it claims is the violation");
  else if (message.flags & CUT) words.push("lost: the link is cut");
  else if (message.flags & LOST) words.push("lost");
  else if (message.arrives > run.ends) words.push("on its way when the run ends");
  else if (meetsNobody(message)) words.push("arrives at a node that is down");
  else if (!(message.flags & LOST) && spellsAt(nodes[message.to], message.arrives).includes("paused")) {
    words.push("arrives at a node that is paused, and waits there");
  }
  return words.join("; ");
}

/// The nodes that the violation names.
const named = new Set(((run.violation && run.violation.reason) || "").match(/\bn\d+\b/g) || []);
