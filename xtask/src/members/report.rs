//! What the writers saw, step by step, and which of their errors had a reason.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::load::{Mark, WriteError};

/// How long after a step an error that it caused may reach a writer: a server
/// answers within its request timeout, and then a client has given up, too.
const ECHO: Duration = Duration::from_secs(8);

/// One step of the show.
pub(super) struct Step {
    pub(super) what: String,
    pub(super) tolerated: Tolerated,
    pub(super) mark: Mark,
}

/// Whose errors a step explains.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Tolerated {
    /// Nobody's.
    Nothing,
    /// Those of the leader that was removed, at this endpoint, and of what was
    /// under way to it from other members.
    HandOver(String),
    /// Those of writes that were under way to a process that was killed.
    Dead(String),
}

impl Step {
    pub(super) fn line(&self) -> String {
        format!(
            "  {}: {:.1} s, {:.0} writes/s, longest pause {} ms",
            self.what,
            self.mark.elapsed.as_secs_f64(),
            self.mark.rate(),
            self.mark.gap.as_millis()
        )
    }

    fn began(&self) -> Duration {
        self.mark.at.saturating_sub(self.mark.elapsed)
    }

    fn explains(&self, error: &WriteError) -> bool {
        let in_time = error.at >= self.began() && error.at <= self.mark.at + ECHO;
        in_time
            && match &self.tolerated {
                Tolerated::Nothing => false,
                Tolerated::HandOver(endpoint) => {
                    error.endpoint == *endpoint || error.at <= self.mark.at
                }
                Tolerated::Dead(endpoint) => error.endpoint == *endpoint,
            }
    }
}

/// The steps as rows of a table.
pub(super) fn rows(steps: &[Step]) -> Vec<Vec<String>> {
    let head = [
        "step",
        "seconds",
        "writes",
        "writes/s",
        "longest pause",
        "slowest write",
        "refused",
        "failed",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(steps.iter().map(|Step { what, mark, .. }| {
        vec![
            what.clone(),
            format!("{:.1}", mark.elapsed.as_secs_f64()),
            mark.acknowledged.to_string(),
            format!("{:.0}", mark.rate()),
            format!("{} ms", mark.gap.as_millis()),
            format!("{} ms", mark.slowest.as_millis()),
            mark.refused.to_string(),
            mark.failed.to_string(),
        ]
    }));
    rows
}

/// Prints every error of a writer with its moment and the step it fell into;
/// fails if a write failed for no reason. One that was refused had no effect,
/// and was written again.
pub(super) fn check_errors(steps: &[Step], errors: &[WriteError]) -> Result<()> {
    let mut unexplained = 0;
    for error in errors {
        let step = steps.iter().find(|step| error.at <= step.mark.at);
        let during = step.map_or("the end", |step| step.what.as_str());
        let verdict = match (error.is_refusal, is_explained(steps, error)) {
            (true, _) => "refused, written again",
            (false, true) => "failed",
            (false, false) => {
                unexplained += 1;
                "FAILED FOR NO REASON"
            }
        };
        println!(
            "  {:.3} s, {}: {verdict}: {} (during: {during})",
            error.at.as_secs_f64(),
            error.endpoint,
            error.text
        );
    }
    let failed = errors.iter().filter(|error| !error.is_refusal).count();
    println!(
        "{failed} writes of unknown outcome, {} refused and written again",
        errors.len() - failed
    );
    if unexplained > 0 {
        bail!("{unexplained} writes failed although nothing went that they depended on");
    }
    Ok(())
}

fn is_explained(steps: &[Step], error: &WriteError) -> bool {
    steps.iter().any(|step| step.explains(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(tolerated: Tolerated, from: u64, to: u64) -> Step {
        let mark = Mark {
            at: Duration::from_secs(to),
            elapsed: Duration::from_secs(to - from),
            ..Mark::default()
        };
        Step {
            what: "a step".to_owned(),
            tolerated,
            mark,
        }
    }

    fn error(at: u64, endpoint: &str, is_refusal: bool) -> WriteError {
        WriteError {
            at: Duration::from_secs(at),
            is_refusal,
            endpoint: endpoint.to_owned(),
            text: "gone".to_owned(),
        }
    }

    #[test]
    fn an_error_at_the_member_that_went_has_a_reason() {
        let steps = [
            step(Tolerated::Nothing, 0, 10),
            step(Tolerated::HandOver("old".to_owned()), 10, 20),
            step(Tolerated::Dead("dead".to_owned()), 30, 40),
        ];

        for explained in [
            error(15, "old", false),
            error(22, "old", false),
            error(35, "dead", false),
            error(5, "new", true),
        ] {
            assert!(check_errors(&steps, &[explained]).is_ok());
        }
        for strange in [
            error(5, "old", false),
            error(22, "new", false),
            error(35, "new", false),
            error(29, "old", false),
        ] {
            assert!(check_errors(&steps, &[strange]).is_err());
        }
    }
}
