//! One line on the terminal that says how far the run is.

use std::io::{IsTerminal, Write, stderr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use raft_core::testing::sim::Report;

/// How often the line changes.
const INTERVAL: Duration = Duration::from_millis(500);

/// The line, where there is a terminal to show it on.
pub(crate) struct Progress {
    started: Instant,
    shown: Option<Mutex<Instant>>,
    goal: String,
}

impl Progress {
    /// Of a run with this goal, in words.
    pub(crate) fn towards(goal: String) -> Self {
        let started = Instant::now();
        Self {
            started,
            shown: stderr().is_terminal().then(|| Mutex::new(started)),
            goal,
        }
    }

    /// Shows what is done, now and then.
    pub(crate) fn show(&self, total: &Report, violations: usize) {
        let Some(shown) = &self.shown else { return };
        let mut shown = shown.lock().expect("nobody panics while showing");
        if shown.elapsed() < INTERVAL {
            return;
        }
        *shown = Instant::now();
        let elapsed = self.started.elapsed().as_secs_f64();
        let faults: u64 = total.faults.values().sum();
        let line = format!(
            "\r{} of {} runs, {:.0} k events/s, {:.1} h simulated, {faults} faults, {} situations, {violations} violations \x1b[K",
            total.runs,
            self.goal,
            total.steps as f64 / elapsed / 1000.0,
            total.simulated.as_secs_f64() / 3600.0,
            total.marks.len(),
        );
        // Who closed the terminal does not want to see it.
        let _ = stderr().write_all(line.as_bytes());
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        if self.shown.is_some() {
            let _ = stderr().write_all(b"\r\x1b[K");
        }
    }
}
