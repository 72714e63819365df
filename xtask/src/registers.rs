//! Readers that look for stale reads beside a fault: the example `demo_client` as
//! a child process.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::client::{Client, fields, number};
use crate::util;

/// Running readers, with the writers of what they read.
pub(crate) struct Registers {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What the reads of one kind from one member came to since the mark before.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Reads {
    pub(crate) endpoint: String,
    pub(crate) is_linearizable: bool,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Older than what somebody had been told before they began.
    pub(crate) older: u64,
    /// Another value than somebody else got at the same revision.
    pub(crate) other: u64,
    /// Answered after more than a second.
    pub(crate) long: u64,
    pub(crate) slowest: Duration,
}

impl Registers {
    /// Starts writers and readers at all members of `client`.
    pub(crate) fn start(client: &Client) -> Result<Self> {
        Self::start_by(&mut client.command("registers"))
    }

    /// The same, with a history of it in `file`.
    pub(crate) fn start_noting(client: &Client, file: &Path) -> Result<Self> {
        Self::start_by(client.command("registers").arg("--history").arg(file))
    }

    fn start_by(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the readers")?;
        let commands = child.stdin.take();
        let answers = child.stdout.take().context("the readers have no output")?;
        Ok(Self {
            child,
            commands,
            answers: BufReader::new(answers),
        })
    }

    /// What was read since the last mark.
    pub(crate) fn mark(&mut self) -> Result<Vec<Reads>> {
        let commands = self.commands.as_mut().context("the readers have stopped")?;
        writeln!(commands, "mark").context("the readers have died")?;
        let mut reads = Vec::new();
        loop {
            let mut line = String::new();
            if self.answers.read_line(&mut line)? == 0 {
                bail!("the readers have died");
            }
            if line.trim() == "end" {
                return Ok(reads);
            }
            let parsed = Reads::parse(&line);
            reads.push(parsed.with_context(|| format!("the readers answered {line:?}"))?);
        }
    }

    /// Stops the readers.
    pub(crate) fn stop(mut self) -> Result<()> {
        drop(self.commands.take());
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the readers ended with {status}");
        }
        Ok(())
    }
}

/// Judges the history of readers that have stopped; answers how much is in it.
pub(crate) fn judge(client: &Client, file: &Path) -> Result<String> {
    util::output_of(client.bare_command("judge").arg(file))
}

impl Drop for Registers {
    fn drop(&mut self) {
        if self.commands.is_some() {
            // Already gone is as good.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Reads {
    fn parse(line: &str) -> Option<Self> {
        let fields = fields(line);
        let get = |name| number(&fields, name);
        Some(Self {
            endpoint: (*fields.get("endpoint")?).to_owned(),
            is_linearizable: get("linearizable")? == 1,
            answered: get("answered")?,
            failed: get("failed")?,
            older: get("older")?,
            other: get("other")?,
            long: get("long")?,
            slowest: Duration::from_millis(get("slowest_ms")?),
        })
    }

    /// Reads that must not have been answered as they were.
    pub(crate) const fn wrong(&self) -> u64 {
        match self.is_linearizable {
            true => self.older + self.other,
            // It may lag, but not make things up.
            false => self.other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linearizable_read_must_not_be_old_and_no_read_may_be_made_up() {
        let reads = |linearizable, older, other| {
            let line = format!(
                "endpoint=e linearizable={linearizable} answered=5 failed=0 older={older} \
                 other={other} long=0 slowest_ms=3"
            );
            Reads::parse(&line).unwrap().wrong()
        };

        assert_eq!(reads(1, 0, 0), 0);
        assert_eq!(reads(1, 2, 0), 2);
        assert_eq!(reads(0, 2, 0), 0);
        assert_eq!(reads(0, 2, 1), 1);
    }
}
