//! The same load on several groups in turns, so that whatever else the machine
//! does meanwhile meets all of them.

use std::time::Duration;

use super::group::{Group, Load, Sample, Shape};
use super::measure::median;
use super::options::is_wanted;

/// The shapes that are measured: bytes of a command, commands of a batch, batches under way.
const PAYLOADS: [usize; 2] = [16, 256];
const BATCHES: [usize; 3] = [1, 16, 256];
const DEPTHS: [usize; 2] = [1, 8];
/// How often each has its turn.
pub(crate) const ROUNDS: usize = 5;
/// Commands before the time is taken, at least: past the second checkpoint, so that
/// the log is as long as it gets and its memory is there.
const WARM_UP: usize = 131_072;
/// Commands whose allocations are counted, at least: more than between two checkpoints.
const COUNTED: usize = 65_536;

/// All shapes that are wanted.
pub(crate) fn shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for payload in PAYLOADS {
        for batch in BATCHES.into_iter().filter(|&batch| is_wanted(batch)) {
            shapes.extend(DEPTHS.map(|depth| Shape {
                payload,
                batch,
                depth,
            }));
        }
    }
    shapes
}

/// A group under a load, whoever it is made of.
pub(crate) trait Side {
    /// Runs for about `time`.
    fn run_for(&mut self, time: Duration) -> Sample;
    /// Has `batches` batches committed.
    fn run(&mut self, batches: usize);
    /// Lets it finish.
    fn finish(self: Box<Self>);
}

impl<G: Group> Side for Load<G> {
    fn run_for(&mut self, time: Duration) -> Sample {
        Self::run_for(self, time)
    }

    fn run(&mut self, batches: usize) {
        Self::run(self, batches);
    }

    fn finish(self: Box<Self>) {
        Self::finish(*self);
    }
}

/// What a side came to.
pub(crate) struct Figures {
    /// One of each turn.
    pub(crate) samples: Vec<Sample>,
    /// Allocations an entry.
    pub(crate) allocations: f64,
}

impl Figures {
    /// The median over the turns.
    pub(crate) fn median(&self, figure: fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(figure))
    }
}

/// Lets the sides run in turns, each for `seconds` in sum; figures in the order of the sides.
pub(crate) fn take_turns(
    mut sides: Vec<Box<dyn Side>>,
    shape: Shape,
    seconds: f64,
) -> Vec<Figures> {
    let time = Duration::from_secs_f64(seconds / ROUNDS as f64);
    let mut samples = vec![Vec::new(); sides.len()];
    settle_allocator();
    allocation_counter::opt_out(|| {
        for side in &mut sides {
            side.run(WARM_UP.div_ceil(shape.batch));
        }
        for _ in 0..ROUNDS {
            for (side, samples) in sides.iter_mut().zip(&mut samples) {
                samples.push(side.run_for(time));
            }
        }
    });
    let sides = sides.into_iter().zip(samples);
    let figures = sides.map(|(side, samples)| Figures {
        allocations: allocations_per_entry(side, shape),
        samples,
    });
    figures.collect()
}

/// An allocator that gives memory back at each checkpoint, only to fault it in again,
/// would be a good part of what is measured. The one of glibc learns from large blocks that
/// are freed to keep more; in a process that has run for a while it has.
fn settle_allocator() {
    const LARGEST_IT_LEARNS_FROM: usize = 31 << 20;
    drop(std::hint::black_box(vec![0_u8; LARGEST_IT_LEARNS_FROM]));
}

/// Counted apart from the time, because counting takes some.
fn allocations_per_entry(mut side: Box<dyn Side>, shape: Shape) -> f64 {
    let batches = COUNTED.div_ceil(shape.batch);
    let counted = allocation_counter::measure(|| side.run(batches));
    side.finish();
    counted.count_total as f64 / (batches * shape.batch) as f64
}
