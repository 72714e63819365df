//! What clients did to registers, noted one line each, and judged afterwards.
//!
//! ```text
//! write KEY VALUE INVOKED RETURNED    times in nanoseconds of the clients' clock;
//! read  KEY VALUE INVOKED RETURNED    `-` for no answer, and for no value
//! ```

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use raft_core::testing::linearizability::{Action, History, Operation, Verdict, zones};

/// Notes operations in a file.
pub(crate) struct Recorder {
    began: Instant,
    /// Nothing, once it is closed.
    out: Mutex<Option<BufWriter<File>>>,
}

impl Recorder {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            began: Instant::now(),
            out: Mutex::new(Some(BufWriter::new(file))),
        })
    }

    /// The moment, for an operation that begins now.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A write that is over, or of which nobody knows whether it ever happened.
    pub(crate) fn wrote(&self, key: usize, value: u64, invoked: u64, is_answered: bool) {
        let returned = is_answered.then(|| self.now());
        self.note("write", key, Some(value), [Some(invoked), returned]);
    }

    /// A read that was answered.
    pub(crate) fn read(&self, key: usize, value: Option<u64>, invoked: u64) {
        self.note("read", key, value, [Some(invoked), Some(self.now())]);
    }

    fn note(&self, what: &str, key: usize, value: Option<u64>, times: [Option<u64>; 2]) {
        let word = |number: Option<u64>| number.map_or("-".to_owned(), |n| n.to_string());
        let [invoked, returned] = times.map(word);
        let line = format!("{what} {key} {} {invoked} {returned}", word(value));
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut *out
            && writeln!(file, "{line}").is_err()
        {
            // It will be missed: a history without its end is not judged.
            *out = None;
        }
    }

    /// Closes it. Reads that are still under way are of no use.
    pub(crate) fn finish(&self) -> Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = out.take().context("an operation could not be noted")?;
        writeln!(out, "end")?;
        out.flush().context("cannot note the last operations")
    }
}

/// Says whether one register a key explains all that was noted.
pub(crate) fn judge(path: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let history = parse(BufReader::new(file).lines().map_while(Result::ok))
        .with_context(|| format!("{} is damaged", path.display()))?;
    let all = history.operations();
    let count = |of: fn(&Operation) -> bool| all.iter().filter(|operation| of(operation)).count();
    println!(
        "operations={} reads={} writes={} unanswered={}",
        all.len(),
        count(|operation| matches!(operation.action, Action::Read(_))),
        count(|operation| matches!(operation.action, Action::Write(_))),
        count(|operation| operation.returned.is_none()),
    );
    match zones::check(&history) {
        Verdict::Linearizable => Ok(()),
        Verdict::Violated(why) => bail!("the history is not linearizable: {why}"),
        Verdict::GaveUp => bail!("the checker gave up"),
    }
}

fn parse(lines: impl Iterator<Item = String>) -> Result<History> {
    let (mut history, mut is_whole) = (History::default(), false);
    for line in lines {
        is_whole = line == "end";
        if !is_whole {
            let operation = operation(&line);
            history.push(operation.with_context(|| format!("{line:?} is no operation"))?);
        }
    }
    if !is_whole {
        bail!("it has no end");
    }
    Ok(history)
}

fn operation(line: &str) -> Option<Operation> {
    let words: Vec<_> = line.split(' ').collect();
    let [what, key, value, invoked, returned] = words[..] else {
        return None;
    };
    let number = |word: &str| match word {
        "-" => Some(None),
        word => word.parse::<u64>().ok().map(Some),
    };
    let value = number(value)?;
    let action = match what {
        "write" => Action::Write(value?),
        "read" => Action::Read(value),
        _ => return None,
    };
    let (invoked, returned) = (number(invoked)??, number(returned)?);
    let is_possible = match returned {
        Some(returned) => invoked <= returned,
        None => matches!(action, Action::Write(_)),
    };
    is_possible.then_some(Operation {
        client: 0,
        key: number(key)??,
        action,
        invoked,
        returned,
        index: None,
    })
}
