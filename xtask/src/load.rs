//! Writers that run beside a fault, and the proof that nothing they were told is lost.
//!
//! The writers are the example `demo_client`; what it was acknowledged stands in a file.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::client::{Client, fields, number};
use crate::util;

/// How long writes may stay interrupted before we call it a failure.
const RESUME_LIMIT: Duration = Duration::from_secs(30);

/// A running load.
pub(crate) struct Load {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What the writers saw since the mark before.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Mark {
    /// Longest time without any acknowledgement.
    pub(crate) gap: Duration,
    /// Time since the last acknowledgement.
    pub(crate) silence: Duration,
    /// How long the slowest of the acknowledged writes took.
    pub(crate) slowest: Duration,
    /// What 99 of 100 acknowledged writes did not exceed, and half of them.
    pub(crate) p99: Duration,
    pub(crate) p50: Duration,
    /// Writes acknowledged.
    pub(crate) acknowledged: u64,
    /// Writes answered by an error that says that they have no effect; they were
    /// tried again.
    pub(crate) refused: u64,
    /// Writes answered by another error; they may or may not have taken effect.
    pub(crate) failed: u64,
    /// The time that this covers.
    pub(crate) elapsed: Duration,
    /// When this ends, from the start of the load.
    pub(crate) at: Duration,
}

/// An error that a writer got.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct WriteError {
    /// From the start of the load.
    pub(crate) at: Duration,
    /// Whether the write certainly had no effect.
    pub(crate) is_refusal: bool,
    /// The member that was asked.
    pub(crate) endpoint: String,
    pub(crate) text: String,
}

impl Load {
    /// Starts `writers` writers, each with its own keys, spread over the members.
    pub(crate) fn start(client: &Client, file: &Path, writers: usize) -> Result<Self> {
        let mut command = client.command("load");
        command.args(["--writers", &writers.to_string(), "--out"]);
        let mut child = command
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the writers")?;
        let commands = child.stdin.take();
        let answers = child.stdout.take().context("the writers have no output")?;
        let mut load = Self {
            child,
            commands,
            answers: BufReader::new(answers),
        };
        load.wait_for_writes()?;
        load.mark()?;
        Ok(load)
    }

    /// What happened since the last mark; the next one counts from here.
    pub(crate) fn mark(&mut self) -> Result<Mark> {
        self.ask("mark")
    }

    /// The same, without an end: the next mark tells of it again.
    pub(crate) fn peek(&mut self) -> Result<Mark> {
        self.ask("peek")
    }

    fn ask(&mut self, question: &str) -> Result<Mark> {
        let commands = self.commands.as_mut().context("the writers have stopped")?;
        writeln!(commands, "{question}").context("the writers have died")?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the writers have died");
        }
        Mark::parse(&line).with_context(|| format!("the writers answered {line:?}"))
    }

    /// Waits until writes are acknowledged again after a fault.
    pub(crate) fn wait_for_writes(&mut self) -> Result<()> {
        let before = self.peek()?;
        util::wait_for("writes to be acknowledged", RESUME_LIMIT, || {
            let now = self.peek()?;
            // More than what can have been under way when the fault struck.
            let resumed = now.acknowledged > before.acknowledged + IN_FLIGHT;
            Ok(resumed.then_some(()))
        })
    }

    /// Has the writers write through these members from now on.
    pub(crate) fn use_members(&mut self, endpoints: &[String]) -> Result<()> {
        let commands = self.commands.as_mut().context("the writers have stopped")?;
        writeln!(commands, "members {}", endpoints.join(",")).context("the writers have died")
    }

    /// Stops the writers; all they were told is in the file then.
    pub(crate) fn stop(mut self) -> Result<()> {
        drop(self.commands.take());
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the writers ended with {status}");
        }
        Ok(())
    }
}

/// Acknowledgements that may still trickle in after a leader has died.
const IN_FLIGHT: u64 = 100;

impl Drop for Load {
    fn drop(&mut self) {
        if self.commands.is_some() {
            // Already gone is as good.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Mark {
    fn parse(line: &str) -> Option<Self> {
        let fields = fields(line);
        let millis = |name| number(&fields, name).map(Duration::from_millis);
        let micros = |name| number(&fields, name).map(Duration::from_micros);
        Some(Self {
            gap: millis("gap_ms")?,
            silence: millis("silence_ms")?,
            slowest: micros("slowest_us")?,
            p99: micros("p99_us")?,
            p50: micros("p50_us")?,
            acknowledged: number(&fields, "acknowledged")?,
            refused: number(&fields, "refused")?,
            failed: number(&fields, "failed")?,
            elapsed: millis("elapsed_ms")?,
            at: millis("at_ms")?,
        })
    }

    /// Acknowledged writes a second.
    pub(crate) fn rate(&self) -> f64 {
        self.acknowledged as f64 / self.elapsed.as_secs_f64().max(0.001)
    }
}

/// What the check of one member found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Verified {
    /// The member's endpoint.
    pub(crate) endpoint: String,
    /// `linearizable` or `serializable`.
    pub(crate) reads: String,
    /// Acknowledged writes found with their value and revision.
    pub(crate) found: u64,
    /// Acknowledged writes missing or different.
    pub(crate) lost: u64,
    /// Keys that nobody wrote.
    pub(crate) foreign: u64,
}

/// Reads everything back on every member, both ways; fails if anything is lost.
pub(crate) fn verify(client: &Client, file: &Path) -> Result<Vec<Verified>> {
    let text = util::output_of(client.command("verify").arg(file))?;
    let verified: Option<Vec<_>> = text.lines().map(Verified::parse).collect();
    let verified = verified.with_context(|| format!("the check answered {text:?}"))?;
    if verified.is_empty() {
        bail!("the check looked at no member");
    }
    Ok(verified)
}

/// The errors that the writers of the load with this file got, in their order.
pub(crate) fn errors(file: &Path) -> Result<Vec<WriteError>> {
    let file = file.with_extension("errors");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let errors: Option<Vec<_>> = text.lines().map(WriteError::parse).collect();
    errors.with_context(|| format!("{} is damaged", file.display()))
}

/// How many acknowledged writes are missing or different on some member.
pub(crate) fn lost(verified: &[Verified]) -> u64 {
    verified
        .iter()
        .map(|check| check.lost + check.foreign)
        .sum()
}

/// The checks as rows of a table.
pub(crate) fn verified_rows(verified: &[Verified]) -> Vec<Vec<String>> {
    let head = [
        "member",
        "reads",
        "acknowledged and there",
        "lost",
        "never written",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(verified.iter().map(|check| {
        let numbers = [check.found, check.lost, check.foreign].map(|n| n.to_string());
        let mut row = vec![check.endpoint.clone(), check.reads.clone()];
        row.extend(numbers);
        row
    }));
    rows
}

impl WriteError {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(4, ' ');
        Some(Self {
            at: Duration::from_millis(words.next()?.parse().ok()?),
            is_refusal: words.next()? == "refused",
            endpoint: words.next()?.to_owned(),
            text: words.next()?.to_owned(),
        })
    }
}

impl Verified {
    fn parse(line: &str) -> Option<Self> {
        let fields = fields(line);
        Some(Self {
            endpoint: (*fields.get("endpoint")?).to_owned(),
            reads: (*fields.get("reads")?).to_owned(),
            found: number(&fields, "found")?,
            lost: number(&fields, "lost")?,
            foreign: number(&fields, "foreign")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_tells_the_longest_gap() {
        let mark = Mark::parse(
            "gap_ms=412 silence_ms=3 slowest_us=7000 p99_us=900 p50_us=400 acknowledged=90 refused=1 failed=2 elapsed_ms=3000 at_ms=9\n",
        );

        let mark = mark.unwrap();
        assert_eq!(mark.gap, Duration::from_millis(412));
        assert_eq!((mark.acknowledged, mark.failed), (90, 2));
        assert!(mark.p50 < mark.p99 && mark.p99 < mark.slowest);
        assert!((mark.rate() - 30.0).abs() < 1e-9);
    }

    #[test]
    fn an_error_tells_when_where_and_whether_the_write_may_be_there() {
        let error = WriteError::parse("15 unknown 127.0.0.1:1 Unavailable: gone away").unwrap();

        assert_eq!(error.at, Duration::from_millis(15));
        assert!(!error.is_refusal);
        assert_eq!(error.text, "Unavailable: gone away");
    }

    #[test]
    fn an_answer_that_lacks_a_number_is_no_mark() {
        assert_eq!(Mark::parse("gap_ms=412"), None);
    }

    #[test]
    fn what_is_missing_and_what_nobody_wrote_both_count_as_loss() {
        let line = |lost, foreign| {
            let line =
                format!("endpoint=e reads=serializable found=5 lost={lost} foreign={foreign}");
            Verified::parse(&line).unwrap()
        };

        assert_eq!(lost(&[line(0, 0), line(0, 0)]), 0);
        assert_eq!(lost(&[line(0, 0), line(2, 0)]), 2);
        assert_eq!(lost(&[line(0, 1)]), 1);
    }
}
