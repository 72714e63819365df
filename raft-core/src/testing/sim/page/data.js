// What the run holds, taken apart. Times are microseconds since its start.
//
// A row begins with the time since the row before it. Then follow
//   messages:   delay, from * nodes + to, shape, term, flags, numbers of the shape
//   states:     node, role, term, vote, purged, last, commit, durable, applied,
//               incarnation, membership (a text), whether it is broken for ever
//   logs:       node, index, then term and value of each entry from there on
//   happenings: node or -1, kind, text

const run = JSON.parse(document.getElementById("run").textContent);
const ROLES = ["follower", "pre-candidate", "candidate", "leader", "down"];
const ROLE_LETTERS = ["F", "P", "C", "L", ""];
const DOWN = 4;
const LOST = 1, COPY = 2, REPLAY = 4, SLOW = 8, CUT = 16, VIOLATES = 32;

// Name: the letters on an arrow, and the family whose colour it has.
const NAMES = {
  pre_vote: ["pv", "votes"], pre_vote_reply: ["pv'", "votes"],
  request_vote: ["rv", "votes"], request_vote_reply: ["rv'", "votes"],
  timeout_now: ["tn", "votes"],
  append_entries: ["ae", "append"], append_reply: ["ae'", "append"],
  heartbeat: ["hb", "beat"], heartbeat_reply: ["hb'", "beat"], commit: ["co", "beat"],
  read_index: ["ri", "reads"], read_index_reply: ["ri'", "reads"],
  propose: ["pr", "requests"], propose_refused: ["pr'", "requests"],
  change_membership: ["cm", "members"], change_membership_reply: ["cm'", "members"],
  snapshot: ["sn", "snapshot"],
  fetch_entry: ["fe", "repair"], fetched_entry: ["fe'", "repair"], entry_absent: ["fe'", "repair"],
};

const shapes = run.shapes.map((text) => {
  const [name, outcome, ...fields] = text.split("|");
  const [letters, family] = NAMES[name] || ["?", "beat"];
  return { name, outcome, fields, letters, family, isReply: letters.endsWith("'") };
});

function decodeMessages() {
  let at = 0;
  return run.messages.map(([since, delay, link, shape, term, flags, ...numbers], number) => {
    at += since;
    const [from, to] = [Math.floor(link / run.nodes), link % run.nodes];
    return { number, at, arrives: at + delay, from, to, shape: shapes[shape], term, flags, numbers };
  });
}

function decodeStates() {
  const nodes = Array.from({ length: run.nodes }, (_, place) => ({
    place, name: `n${place + 1}`, states: [], logs: [], spells: [], damage: [],
  }));
  let at = 0;
  for (const [since, place, role, term, vote, purged, last, commit, durable, applied, incarnation, members, broken] of run.states) {
    at += since;
    nodes[place].states.push({ at, role, term, vote, purged, last, commit, durable, applied, incarnation, members, broken });
  }
  at = 0;
  for (const [since, place, from, ...entries] of run.logs) {
    at += since;
    nodes[place].logs.push({ at, from, entries });
  }
  for (const [place, kind, from, until] of run.spells) nodes[place].spells.push({ kind, from, until });
  for (const [at, place, ...damaged] of run.damage) nodes[place].damage.push({ at, damaged: new Set(damaged) });
  return nodes;
}

function decodeHappenings() {
  let at = 0;
  return run.happenings.map(([since, place, kind, text], number) => {
    at += since;
    const [group, letter, name] = run.kinds[kind];
    return { number, at, place, group, letter, name, text: run.texts[text] };
  });
}

const messages = decodeMessages();
const nodes = decodeStates();
const happenings = decodeHappenings();
const longestDelay = messages.reduce((longest, message) => Math.max(longest, message.arrives - message.at), 0);

/// The place of the first item that is not before `at`.
function placeOf(items, at, timeOf = (item) => item.at) {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timeOf(items[middle]) < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

const formatTime = (at) => (at / 1000).toFixed(3);
const formatCount = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/// The numbers of a message with their names: pairs of texts.
function factsOf(message) {
  const facts = [];
  let place = 0;
  for (const field of message.shape.fields) {
    if (field.endsWith("@")) {
      facts.push([field.slice(0, -1), `t${message.numbers[place]}/i${message.numbers[place + 1]}`]);
      place += 2;
    } else if (field.endsWith("#")) {
      facts.push([field.slice(0, -1), "#" + message.numbers[place].toString(16).padStart(4, "0")]);
      place += 1;
    } else {
      facts.push([field, String(message.numbers[place])]);
      place += 1;
    }
  }
  return facts;
}

/// A message in one line.
function wordsOf(message) {
  const facts = factsOf(message).map(([name, value]) => `${name} ${value}`).join(", ");
  const outcome = message.shape.outcome ? ` ${message.shape.outcome}` : "";
  return `${message.shape.name}${outcome} t${message.term}: ${facts}`;
}
