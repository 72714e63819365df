//! Figures of one way: what was measured in each round, by name.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;

/// One figure for each round.
#[derive(Default)]
pub(crate) struct Figures(BTreeMap<&'static str, Vec<f64>>);

impl Figures {
    pub(crate) fn note(&mut self, name: &'static str, figure: f64) {
        self.0.entry(name).or_default().push(figure);
    }

    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        self.0.get(name).cloned().and_then(middle)
    }

    /// The median of the ratios of neighbouring turns.
    pub(crate) fn ratio(&self, name: &str, to: &Self) -> Option<f64> {
        let (ours, theirs) = (self.0.get(name)?, to.0.get(name)?);
        middle(
            ours.iter()
                .zip(theirs)
                .map(|(one, other)| one / other)
                .collect(),
        )
    }
}

fn middle(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// Time and processor time of both nodes since it was made.
pub(crate) struct Meter {
    begun: Instant,
    cpu: ProcessTime,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self {
            begun: Instant::now(),
            cpu: ProcessTime::now(),
        }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.cpu.elapsed().as_secs_f64()
    }
}

/// The latency below which `share` of them are, in microseconds.
pub(crate) fn percentile(latencies: &mut [Duration], share: f64) -> f64 {
    latencies.sort_unstable();
    let place = (latencies.len() as f64 * share) as usize;
    let found = latencies.get(place.min(latencies.len() - 1));
    found.expect("something was measured").as_secs_f64() * 1e6
}
