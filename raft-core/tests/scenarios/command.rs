//! The commands of a scenario. The book lists what each does.

use std::str::FromStr;
use std::time::Duration;

use raft_core::{
    Consistency, Incarnation, LogIndex, MemberInfo, MembershipChange, NodeId, ReplicaId, Term,
};

/// What a scenario can ask for.
#[derive(Debug)]
pub(crate) enum Command {
    Cluster(Vec<NodeId>),
    Join(ReplicaId),
    Option {
        name: String,
        value: u64,
    },
    Log {
        node: NodeId,
        terms: Vec<Term>,
    },
    Term {
        node: NodeId,
        term: Term,
    },
    Vote {
        node: NodeId,
        candidate: NodeId,
    },
    Applied {
        node: NodeId,
        index: LogIndex,
    },
    Crash(Vec<NodeId>),
    Restart(Vec<NodeId>),
    LoseVote(NodeId),
    Pause(NodeId),
    Resume(NodeId),
    Timeout(NodeId),
    Elect(NodeId),
    Advance(Duration),
    Run(Duration),
    Settle,
    Deliver(Selection),
    Drop(Selection),
    Repeat(Selection),
    Cut(Vec<Link>),
    Heal(Vec<Link>),
    Hold(Vec<Link>),
    Release(Vec<Link>),
    HoldDisk(NodeId),
    ReleaseDisk(NodeId),
    Persist(NodeId),
    HoldMachine(NodeId),
    ReleaseMachine(NodeId),
    Apply(NodeId),
    Propose {
        node: NodeId,
        commands: Vec<String>,
    },
    Read {
        node: NodeId,
        consistency: Consistency,
    },
    Change {
        node: NodeId,
        change: MembershipChange,
    },
    Transfer {
        node: NodeId,
        to: Option<NodeId>,
    },
    Checkpoint(NodeId),
    Show(Vec<NodeId>),
    Members,
    Followers(NodeId),
    InFlight,
    /// Does it and prints nothing.
    Quietly(Box<Command>),
}

/// Connections, each in one direction; nobody named means everybody.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Link {
    pub(crate) from: Option<NodeId>,
    pub(crate) to: Option<NodeId>,
}

impl Link {
    pub(crate) fn covers(self, from: NodeId, to: NodeId) -> bool {
        self.from.is_none_or(|node| node == from) && self.to.is_none_or(|node| node == to)
    }
}

/// Messages in flight.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// Where; everywhere if empty.
    pub(crate) links: Vec<Link>,
    /// Only those with this name, as in `append-reply`.
    pub(crate) kind: Option<String>,
    /// Only the oldest of them.
    pub(crate) first: bool,
}

impl Command {
    /// Understands one command.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (&name, rest) = words.split_first().ok_or("a command is missing")?;
        match (name, rest) {
            ("quietly", _) => Ok(Self::Quietly(Box::new(Self::parse(&rest.join(" "))?))),
            ("hold", ["disk", rest @ ..]) => one(rest).map(Self::HoldDisk),
            ("release", ["disk", rest @ ..]) => one(rest).map(Self::ReleaseDisk),
            ("hold", ["machine", rest @ ..]) => one(rest).map(Self::HoldMachine),
            ("release", ["machine", rest @ ..]) => one(rest).map(Self::ReleaseMachine),
            (
                "cut" | "heal" | "hold" | "release" | "isolate" | "split" | "deliver" | "drop"
                | "repeat",
                _,
            ) => parse_network(name, rest),
            ("propose" | "read" | "change" | "transfer" | "checkpoint", _) => {
                parse_request(name, rest)
            }
            ("cluster" | "join" | "option" | "log" | "term" | "vote" | "applied", _) => {
                parse_setup(name, rest)
            }
            _ => parse_plain(name, rest),
        }
    }
}

fn parse_plain(name: &str, rest: &[&str]) -> Result<Command, String> {
    Ok(match name {
        "crash" => Command::Crash(nodes(rest)?),
        "restart" => Command::Restart(nodes(rest)?),
        "lose-vote" => Command::LoseVote(one(rest)?),
        "pause" => Command::Pause(one(rest)?),
        "resume" => Command::Resume(one(rest)?),
        "timeout" => Command::Timeout(one(rest)?),
        "elect" => Command::Elect(one(rest)?),
        "advance" => Command::Advance(duration(rest)?),
        "run" => Command::Run(duration(rest)?),
        "settle" => Command::Settle,
        "persist" => Command::Persist(one(rest)?),
        "apply" => Command::Apply(one(rest)?),
        "show" => Command::Show(nodes(rest)?),
        "members" => Command::Members,
        "followers" => Command::Followers(one(rest)?),
        "in-flight" => Command::InFlight,
        _ => return Err(format!("there is no command `{name}`")),
    })
}

fn parse_setup(name: &str, rest: &[&str]) -> Result<Command, String> {
    Ok(match (name, rest) {
        ("cluster", _) => Command::Cluster(nodes(rest)?),
        ("join", [replica]) => Command::Join(parse_replica(replica)?),
        ("option", [name, value]) => Command::Option {
            name: (*name).to_owned(),
            value: number(value)?,
        },
        ("log", [node, terms @ ..]) => Command::Log {
            node: parse_node(node)?,
            terms: terms
                .iter()
                .map(|term| number(term).map(Term::new))
                .collect::<Result<_, _>>()?,
        },
        ("term", [node, term]) => Command::Term {
            node: parse_node(node)?,
            term: Term::new(after('t', term)?),
        },
        ("vote", [node, candidate]) => Command::Vote {
            node: parse_node(node)?,
            candidate: parse_node(candidate)?,
        },
        ("applied", [node, index]) => Command::Applied {
            node: parse_node(node)?,
            index: LogIndex::new(after('i', index)?),
        },
        _ => return Err(format!("`{name}` is not used so")),
    })
}

fn parse_network(name: &str, rest: &[&str]) -> Result<Command, String> {
    if name == "split" {
        return split(rest).map(Command::Cut);
    }
    if name == "isolate" {
        let isolated = nodes(rest)?.into_iter().flat_map(|node| {
            let (out, into) = ((Some(node), None), (None, Some(node)));
            [out, into].map(|(from, to)| Link { from, to })
        });
        return Ok(Command::Cut(isolated.collect()));
    }
    let selection = selection(rest)?;
    let takes_messages = matches!(name, "deliver" | "drop" | "repeat");
    if !takes_messages && (selection.kind.is_some() || selection.first) {
        return Err(format!("`{name}` takes links only"));
    }
    Ok(match name {
        "deliver" => Command::Deliver(selection),
        "drop" => Command::Drop(selection),
        "repeat" => Command::Repeat(selection),
        "cut" => Command::Cut(selection.links),
        "heal" => Command::Heal(selection.links),
        "hold" => Command::Hold(selection.links),
        _ => Command::Release(selection.links),
    })
}

fn parse_request(name: &str, rest: &[&str]) -> Result<Command, String> {
    let (first, rest) = rest.split_first().ok_or("a node is missing")?;
    let node = parse_node(first.trim_end_matches(':'))?;
    Ok(match (name, rest) {
        ("propose", _) => Command::Propose {
            node,
            commands: rest.iter().map(|word| (*word).to_owned()).collect(),
        },
        ("read", []) => read(node, Consistency::Linearizable),
        ("read", ["lease"]) => read(node, Consistency::Lease),
        ("read", ["stale"]) => read(node, Consistency::Stale),
        ("change", _) => Command::Change {
            node,
            change: change(&rest.join(" "))?,
        },
        ("transfer", []) => Command::Transfer { node, to: None },
        ("transfer", ["to", to]) => Command::Transfer {
            node,
            to: Some(parse_node(to)?),
        },
        ("checkpoint", []) => Command::Checkpoint(node),
        _ => return Err(format!("`{name}` is not used so")),
    })
}

const fn read(node: NodeId, consistency: Consistency) -> Command {
    Command::Read { node, consistency }
}

/// `add n4, promote n4, demote n2, remove n1`.
fn change(text: &str) -> Result<MembershipChange, String> {
    let mut change = MembershipChange::new();
    for step in text.split(',').filter(|step| !step.trim().is_empty()) {
        let words: Vec<&str> = step.split_whitespace().collect();
        let [verb, who] = words[..] else {
            return Err(format!("`{step}` is no step of a change"));
        };
        let replica = parse_replica(who)?;
        let info = MemberInfo {
            incarnation: replica.incarnation,
            ..MemberInfo::default()
        };
        change = match verb {
            "add" => change.add_learner(replica.node, info),
            "promote" => change.promote(replica.node),
            "demote" => change.demote(replica.node),
            "remove" => change.remove(replica.node),
            "update" => change.update(replica.node, info),
            "readmit" => change.readmit(replica.node),
            _ => return Err(format!("there is no step `{verb}`")),
        };
    }
    Ok(change)
}

/// `n1 n2 | n3 n4`: every link between the two sides.
fn split(words: &[&str]) -> Result<Vec<Link>, String> {
    let (left, right) = words
        .iter()
        .position(|word| *word == "|")
        .map(|middle| (&words[..middle], &words[middle + 1..]))
        .ok_or("`split` needs two sides, with a | between")?;
    let mut links = Vec::new();
    for one in nodes(left)? {
        for other in nodes(right)? {
            links.push(link(Some(one), Some(other)));
            links.push(link(Some(other), Some(one)));
        }
    }
    Ok(links)
}

const fn link(from: Option<NodeId>, to: Option<NodeId>) -> Link {
    Link { from, to }
}

fn selection(words: &[&str]) -> Result<Selection, String> {
    let mut selection = Selection::default();
    for word in words {
        if *word == "first" {
            selection.first = true;
        } else if word.contains('-') && word.starts_with(['n', '*']) {
            selection.links.extend(links(word)?);
        } else {
            selection.kind = Some((*word).to_owned());
        }
    }
    Ok(selection)
}

/// `n1->n2` one way, `n1-n2` both ways; `*` for everybody.
fn links(word: &str) -> Result<Vec<Link>, String> {
    let end = |name: &str| match name {
        "*" => Ok(None),
        name => parse_node(name).map(Some),
    };
    if let Some((from, to)) = word.split_once("->") {
        return Ok(vec![link(end(from)?, end(to)?)]);
    }
    let (one, other) = word.split_once('-').ok_or("a link is like n1->n2")?;
    let (one, other) = (end(one)?, end(other)?);
    Ok(vec![link(one, other), link(other, one)])
}

fn nodes(words: &[&str]) -> Result<Vec<NodeId>, String> {
    words.iter().map(|word| parse_node(word)).collect()
}

fn one(words: &[&str]) -> Result<NodeId, String> {
    match words {
        [word] => parse_node(word),
        _ => Err("exactly one node is wanted".to_owned()),
    }
}

fn parse_node(word: &str) -> Result<NodeId, String> {
    after('n', word).map(NodeId::new)
}

/// `n4`, or `n4#1` for its second life.
fn parse_replica(word: &str) -> Result<ReplicaId, String> {
    let (node, incarnation) = word.split_once('#').unwrap_or((word, "0"));
    Ok(ReplicaId {
        node: parse_node(node)?,
        incarnation: Incarnation::new(number(incarnation)?),
    })
}

fn duration(words: &[&str]) -> Result<Duration, String> {
    let [word] = words else {
        return Err("a duration is wanted, as in 100ms".to_owned());
    };
    match (word.strip_suffix("ms"), word.strip_suffix('s')) {
        (Some(millis), _) => number(millis).map(Duration::from_millis),
        (None, Some(seconds)) => number(seconds).map(Duration::from_secs),
        _ => Err(format!("`{word}` is no duration")),
    }
}

fn after(prefix: char, word: &str) -> Result<u64, String> {
    let digits = word
        .strip_prefix(prefix)
        .ok_or_else(|| format!("`{word}` should begin with {prefix}"))?;
    number(digits)
}

fn number(word: &str) -> Result<u64, String> {
    u64::from_str(word).map_err(|_| format!("`{word}` is no number"))
}

#[test]
fn a_line_between_two_nodes_goes_both_ways_and_an_arrow_one_way() {
    let [one, two] = [1, 2].map(|id| Some(NodeId::new(id)));

    assert_eq!(links("n1->n2"), Ok(vec![link(one, two)]));
    assert_eq!(links("n1-n2"), Ok(vec![link(one, two), link(two, one)]));
    assert_eq!(links("n1->*"), Ok(vec![link(one, None)]));
}

#[test]
fn nonsense_is_refused() {
    for text in [
        "",
        "elect",
        "elect 1",
        "run 5",
        "cut n1->n2 append",
        "change n1: burn n2",
    ] {
        assert!(Command::parse(text).is_err(), "{text} was understood");
    }
}
