//! The etcd API, spoken by raft-kv's example `demo_client` as a child process.
//!
//! xtask links no gRPC of its own: it must compile in seconds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::util;

/// The client's program, and which members it talks to.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    program: PathBuf,
    endpoints: Vec<String>,
}

/// What one member says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct MemberStatus {
    /// Nothing when it does not answer.
    pub(crate) member: Option<u64>,
    /// Nothing when it knows of none.
    pub(crate) leader: Option<u64>,
    pub(crate) term: u64,
    /// Last committed entry it knows of.
    pub(crate) index: u64,
    pub(crate) applied: u64,
    pub(crate) revision: u64,
    pub(crate) is_learner: bool,
    /// Of its state on disk.
    pub(crate) bytes: u64,
}

/// How a membership change was answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    Done,
    /// Nothing was changed, for this reason.
    Refused(String),
}

impl Client {
    /// The client for `endpoints`, from the folder where cargo builds.
    pub(crate) fn new(target_dir: &Path, endpoints: Vec<String>) -> Self {
        Self {
            program: target_dir.join("debug/examples/demo_client"),
            endpoints,
        }
    }

    /// A call of the client.
    pub(crate) fn command(&self, verb: &str) -> Command {
        let mut command = self.bare_command(verb);
        command.args(["--endpoints", &self.endpoints.join(",")]);
        command
    }

    /// A call of the client that asks nobody.
    pub(crate) fn bare_command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(verb);
        command
    }

    /// What each member says of itself, in the order of the endpoints.
    pub(crate) fn status(&self) -> Result<Vec<MemberStatus>> {
        let lines = util::output_of(&mut self.command("status"))?;
        Ok(lines.lines().map(MemberStatus::parse).collect())
    }

    /// Writes one key through the first member; answers its revision.
    pub(crate) fn put(&self, key: &str, value: &str) -> Result<u64> {
        let line = util::output_of(self.command("put").args([key, value]))?;
        number(&fields(&line), "mod_revision").context("the put was not answered with a revision")
    }

    /// Reads one key through the first member.
    pub(crate) fn get(&self, key: &str) -> Result<Option<String>> {
        let text = util::output_of(self.command("get").arg(key))?;
        Ok(text.lines().next().map(str::to_owned))
    }

    /// How many keys that begin with `prefix` the first member holds.
    pub(crate) fn count(&self, prefix: &str) -> Result<u64> {
        let line = util::output_of(self.command("count").arg(prefix))?;
        number(&fields(&line), "count").context("the keys were not counted")
    }

    /// Writes `keys` keys with `bytes` bytes of values in all.
    pub(crate) fn fill(&self, bytes: u64, keys: u64) -> Result<()> {
        let (bytes, keys) = (bytes.to_string(), keys.to_string());
        let mut command = self.command("fill");
        util::output_of(command.args(["--bytes", &bytes, "--keys", &keys])).map(drop)
    }

    /// The members and whether they vote, as the first one asked sees them.
    pub(crate) fn members(&self) -> Result<Vec<(u64, bool)>> {
        let lines = util::output_of(&mut self.command("list"))?;
        let members = lines.lines().map(|line| {
            let fields = fields(line);
            let member = number(&fields, "member").context("a member without a number")?;
            Ok((member, number(&fields, "learner") == Some(0)))
        });
        members.collect()
    }

    /// Adds a member that its peers will reach at `peer`; answers its number.
    pub(crate) fn add(&self, peer: &str, learner: bool) -> Result<u64> {
        let mut command = self.command("add");
        command.arg(peer);
        if learner {
            command.arg("--learner");
        }
        let line = util::output_of(&mut command)?;
        number(&fields(&line), "added").with_context(|| format!("the member was not added: {line}"))
    }

    /// Lets a learner vote.
    pub(crate) fn promote(&self, node: u64) -> Result<Change> {
        self.change("promote", node)
    }

    /// Removes a member.
    pub(crate) fn remove(&self, node: u64) -> Result<Change> {
        self.change("remove", node)
    }

    fn change(&self, verb: &str, node: u64) -> Result<Change> {
        let text = util::output_of(self.command(verb).arg(node.to_string()))?;
        Ok(match text.trim().strip_prefix("refused ") {
            Some(reason) => Change::Refused(reason.to_owned()),
            None => Change::Done,
        })
    }

    /// The same client, asking only the member at `place`.
    pub(crate) fn only(&self, place: usize) -> Self {
        self.of(vec![self.endpoints[place].clone()])
    }

    /// The same client, asking these.
    pub(crate) fn of(&self, endpoints: Vec<String>) -> Self {
        Self {
            program: self.program.clone(),
            endpoints,
        }
    }
}

impl MemberStatus {
    fn parse(line: &str) -> Self {
        let fields = fields(line);
        let get = |name| number(&fields, name);
        Self {
            member: get("member"),
            leader: get("leader").filter(|&leader| leader != 0),
            term: get("term").unwrap_or(0),
            index: get("index").unwrap_or(0),
            applied: get("applied").unwrap_or(0),
            revision: get("revision").unwrap_or(0),
            is_learner: get("learner") == Some(1),
            bytes: get("bytes").unwrap_or(0),
        }
    }
}

/// The leader on which all members that answer agree.
pub(crate) fn agreed_leader(members: &[MemberStatus]) -> Option<u64> {
    let answering = || members.iter().filter(|status| status.member.is_some());
    let leader = answering().next()?.leader?;
    let is_alive = answering().any(|status| status.member == Some(leader));
    let all_agree = answering().all(|status| status.leader == Some(leader));
    (is_alive && all_agree).then_some(leader)
}

/// The `name=value` words of a line that the client prints.
pub(crate) fn fields(line: &str) -> BTreeMap<&str, &str> {
    line.split_whitespace()
        .filter_map(|word| word.split_once('='))
        .collect()
}

/// The number of one field.
pub(crate) fn number(fields: &BTreeMap<&str, &str>, name: &str) -> Option<u64> {
    fields.get(name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: &str =
        "endpoint=127.0.0.1:1 member=1 leader=1 term=3 index=9 applied=8 revision=7";

    #[test]
    fn a_member_tells_its_leader_and_position() {
        let status = MemberStatus::parse(LEADER);

        let expected = MemberStatus {
            member: Some(1),
            leader: Some(1),
            term: 3,
            index: 9,
            applied: 8,
            revision: 7,
            ..MemberStatus::default()
        };
        assert_eq!(status, expected);
    }

    #[test]
    fn a_leader_counts_when_it_lives_and_all_who_answer_name_it() {
        let at = |line: &str| MemberStatus::parse(line);
        let down = at("endpoint=127.0.0.1:3 down=refused");

        let agreeing = [at(LEADER), at("member=2 leader=1"), down.clone()];
        let undecided = [at(LEADER), at("member=2 leader=0")];
        let follow_the_dead = [down, at("member=2 leader=1"), at("member=3 leader=1")];

        assert_eq!(agreed_leader(&agreeing), Some(1));
        assert_eq!(agreed_leader(&undecided), None);
        assert_eq!(agreed_leader(&follow_the_dead), None);
        assert_eq!(agreed_leader(&[]), None);
    }
}
