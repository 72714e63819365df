//! `cargo xtask explore`: all that can happen to three replicas, to a depth.
//!
//! The exploration itself is `raft_core::testing::explore`; its example is started here,
//! once for each beginning.

use anyhow::{Result, bail};

use crate::{sim, util};

/// Where to begin, and how far to go
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Begin there only: start, leader or contest
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// So many steps at once, instead of one step deeper after the other
    #[arg(long)]
    depth: Option<u8>,
    /// For so many minutes at most, from each beginning
    #[arg(long, default_value_t = 3)]
    minutes: u8,
    /// How many threads; one for each core if not given
    #[arg(long)]
    jobs: Option<u8>,
}

/// Every beginning.
const BEGINNINGS: [&str; 3] = ["start", "leader", "contest"];

impl Arguments {
    fn beginnings(&self) -> Vec<&str> {
        match &self.from {
            Some(name) => vec![name],
            None => BEGINNINGS.to_vec(),
        }
    }

    fn for_explorer(&self, from: &str) -> Vec<String> {
        let mut words = vec!["--from".to_owned(), from.to_owned()];
        words.extend(["--minutes".to_owned(), self.minutes.to_string()]);
        match self.depth {
            Some(depth) => words.extend(["--depth".to_owned(), depth.to_string()]),
            None => words.push("--deepen".to_owned()),
        }
        if let Some(jobs) = self.jobs {
            words.extend(["--jobs".to_owned(), jobs.to_string()]);
        }
        words
    }
}

/// Builds the explorer, then lets it go from one beginning after the other.
///
/// Ends with 0 when all that was visited keeps to the rules, 1 when a step does not, and 2
/// when the run itself is not valid.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    explore(arguments).map_err(util::or_invalid)
}

fn explore(arguments: &Arguments) -> Result<()> {
    for from in arguments.beginnings() {
        let status = sim::build("explore")?
            .args(arguments.for_explorer(from))
            .status()?;
        match status.code() {
            Some(0) => {}
            // It has said what is wrong, and its status is ours.
            Some(code @ 1..=2) => {
                return Err(anyhow::Error::new(util::Exit(code)).context("the exploration"));
            }
            _ => bail!("the exploration ended with {status}"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_handed_to_the_explorer() {
        let mut arguments = Arguments {
            from: None,
            depth: None,
            minutes: 3,
            jobs: None,
        };
        let words = arguments.for_explorer("leader").join(" ");
        assert_eq!(words, "--from leader --minutes 3 --deepen");
        assert_eq!(arguments.beginnings(), BEGINNINGS);

        (arguments.from, arguments.depth) = (Some("start".to_owned()), Some(9));
        let words = arguments.for_explorer("start").join(" ");
        assert_eq!(words, "--from start --minutes 3 --depth 9");
        assert_eq!(arguments.beginnings(), ["start"]);
    }
}
