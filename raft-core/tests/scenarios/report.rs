//! The lines that a command prints, put together so that they read well.
//!
//! What several replicas say alike becomes one line, and so does one message to
//! several of them. No replica's own lines change their order.

use std::collections::BTreeMap;
use std::time::Duration;

use raft_core::NodeId;

/// What the current command has printed so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
    /// Where each node spoke last.
    last: BTreeMap<NodeId, usize>,
    /// Whether messages are left out.
    pub(crate) is_quiet: bool,
    /// Whether the usual steps of an election are left out.
    pub(crate) is_election: bool,
    /// When the command began, if its lines tell the time.
    pub(crate) began: Option<Duration>,
    pub(crate) now: Duration,
}

#[derive(Debug)]
struct Line {
    at: Option<u128>,
    nodes: Vec<NodeId>,
    /// The receivers, if it is a message.
    to: Vec<NodeId>,
    text: String,
    times: usize,
}

impl Report {
    /// A line that belongs to no node.
    pub(crate) fn plain(&mut self, text: impl Into<String>) {
        self.push(Vec::new(), Vec::new(), text.into());
    }

    /// `node` says or does something.
    pub(crate) fn says(&mut self, node: NodeId, text: impl Into<String>) {
        let (text, at) = (text.into(), self.elapsed());
        let last = self.last.get(&node).copied();
        let same = |line: &Line| line.to.is_empty() && line.text == text;
        if let Some(line) = last.map(|at| &mut self.lines[at])
            && same(line)
            && line.nodes == [node]
        {
            line.times += 1;
            return;
        }
        if self.goes_round(node, &text) {
            return;
        }
        let after = last.map_or(0, |last| last + 1);
        let shared = self.lines[after..]
            .iter()
            .position(|line| same(line) && line.at == at && !line.nodes.is_empty());
        match shared {
            Some(place) => {
                self.lines[after + place].nodes.push(node);
                self.last.insert(node, after + place);
            }
            None => self.push(vec![node], Vec::new(), text),
        }
    }

    /// Counts `text` in if time passes and `node` alternates between two lines of its own.
    fn goes_round(&mut self, node: NodeId, text: &str) -> bool {
        let own = |(_, line): &(usize, &Line)| line.nodes.contains(&node);
        let mut recent = self.lines.iter().enumerate().rev().filter(own);
        let (Some((latter, _)), Some((former, _))) = (recent.next(), recent.next()) else {
            return false;
        };
        let [a, b] = [former, latter].map(|at| &self.lines[at]);
        let alone = a.nodes == [node] && b.nodes == [node];
        let next = match a.times == b.times {
            true => former,
            false => latter,
        };
        let fits = self.began.is_some() && alone && a.times.abs_diff(b.times) <= 1;
        let counts = fits && self.lines[next].text == text;
        self.lines[next].times += usize::from(counts);
        counts
    }

    /// `from` sends something to `to`.
    pub(crate) fn sends(&mut self, from: NodeId, to: NodeId, text: String) {
        if self.is_quiet {
            return;
        }
        let last = self.last.get(&from).map(|&at| &mut self.lines[at]);
        if let Some(line) = last
            && !line.to.is_empty()
            && !line.to.contains(&to)
            && line.text == text
        {
            return line.to.push(to);
        }
        self.push(vec![from], vec![to], text);
    }

    fn elapsed(&self) -> Option<u128> {
        self.began.map(|began| (self.now - began).as_millis())
    }

    fn push(&mut self, nodes: Vec<NodeId>, to: Vec<NodeId>, text: String) {
        for node in &nodes {
            self.last.insert(*node, self.lines.len());
        }
        self.lines.push(Line {
            at: self.elapsed(),
            nodes,
            to,
            text,
            times: 1,
        });
    }

    /// The lines so far; begins anew.
    pub(crate) fn take(&mut self) -> Vec<String> {
        let now = self.now;
        let report = std::mem::take(self);
        self.now = now;
        report.lines.iter().map(Line::print).collect()
    }
}

impl Line {
    fn print(&self) -> String {
        let list = |nodes: &[NodeId]| {
            let mut nodes = nodes.to_vec();
            nodes.sort();
            let names: Vec<_> = nodes.iter().map(ToString::to_string).collect();
            names.join(" ")
        };
        let time = self.at.map_or(String::new(), |ms| format!("+{ms}ms "));
        let who = match (self.nodes.is_empty(), self.to.is_empty()) {
            (true, _) => String::new(),
            (false, true) => format!("{}: ", list(&self.nodes)),
            (false, false) => format!("{} -> {}: ", list(&self.nodes), list(&self.to)),
        };
        let times = match self.times {
            1 => String::new(),
            times => format!(" ({times} times)"),
        };
        format!("{time}{who}{}{times}", self.text)
    }
}

#[test]
fn nodes_that_say_the_same_share_a_line_unless_they_spoke_since() {
    let [one, two] = [1, 2].map(NodeId::new);
    let mut report = Report::default();

    report.says(one, "a");
    report.says(two, "a");
    report.says(two, "b");
    report.says(one, "c");
    report.says(one, "b");

    assert_eq!(report.take(), ["n1 n2: a", "n2: b", "n1: c", "n1: b"]);
}

#[test]
fn a_message_to_several_is_one_line_and_a_second_copy_is_another() {
    let [one, two, three] = [1, 2, 3].map(NodeId::new);
    let mut report = Report::default();

    report.sends(one, two, "x".to_owned());
    report.sends(one, three, "x".to_owned());
    report.sends(one, three, "x".to_owned());

    assert_eq!(report.take(), ["n1 -> n2 n3: x", "n1 -> n3: x"]);
}

#[test]
fn two_lines_that_alternate_as_time_passes_are_counted() {
    let one = NodeId::new(1);
    let mut report = Report {
        began: Some(Duration::ZERO),
        ..Report::default()
    };

    for text in ["a", "b", "a", "b", "a", "c"] {
        report.says(one, text);
    }

    assert_eq!(
        report.take(),
        ["+0ms n1: a (3 times)", "+0ms n1: b (2 times)", "+0ms n1: c"]
    );
}
