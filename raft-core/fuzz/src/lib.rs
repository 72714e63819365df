//! Fuzzing of [`raft_core::Raft`]: bytes become choices, choices become what
//! happens to a few replicas.
//!
//! | file | holds |
//! |---|---|
//! | `choices` | the fuzzer's bytes, read as decisions |
//! | `start` | what a replica is configured with and restored from, sensible or not |
//! | `replica` | one `Raft` with its driver: carries out every output, checks what it promises |
//! | `disk`, `machine`, `answers` | what the driver talks to, and what each holds the replica to |
//! | `values`, `nonsense`, `damage` | wrong messages near the state that they hit |
//! | `feedback` | what the fuzzer learns beside the lines that were run |
//! | `world` | the group, the network, and one choice after the other |
//!
//! Peers, callers and disks may do anything. Only the driver keeps its contract,
//! the one that `raft_core::protocol::Input` states.

mod answers;
mod choices;
mod damage;
mod disk;
mod feedback;
mod machine;
mod nonsense;
mod replica;
mod start;
mod values;
mod world;

use choices::Choices;
use world::World;

/// Most steps of one run: what is found later is found with fewer, too.
const MAX_STEPS: usize = 2000;

/// Lets happen what `bytes` say, and panics if a replica does, or breaks a promise.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let Some(mut world) = World::begin(&mut choices) else {
        return;
    };
    for _ in 0..MAX_STEPS {
        if choices.are_over() {
            break;
        }
        world.step(&mut choices);
    }
}
