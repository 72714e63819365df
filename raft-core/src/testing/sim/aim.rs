//! What a run aims at: the same world, with some faults for sure and others never.

use std::fmt;
use std::str::FromStr;

use super::plan::Faults;
use super::random::Random;

/// What a run aims at.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Aim {
    /// Everything, a subset of it in each run.
    #[default]
    Swarm,
    /// Few faults and a short run: for a first look.
    Lite,
    /// Short faults, then nodes that never come back: the others must go on.
    Liveness,
    /// Members come and go all the time.
    Membership,
    /// Disks that lose, hang, fall ill and rot, and power cuts.
    Disk,
    /// Mostly reads, with clocks that drift as far as leases allow.
    Reads,
}

impl Aim {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Swarm,
        Self::Lite,
        Self::Liveness,
        Self::Membership,
        Self::Disk,
        Self::Reads,
    ];

    /// Its name, as `--plan` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Swarm => "swarm",
            Self::Lite => "lite",
            Self::Liveness => "liveness",
            Self::Membership => "membership",
            Self::Disk => "disk",
            Self::Reads => "reads",
        }
    }

    /// Leaves of the drawn faults what the aim allows, and adds what it wants.
    pub(super) fn adjust(self, faults: &mut Faults, random: &mut Random) {
        let mut surely = |rate: &mut u64, low, high| {
            if *rate == 0 {
                *rate = random.between(low, high);
            }
        };
        match self {
            Self::Swarm | Self::Membership => {}
            Self::Lite => {
                *faults = Faults {
                    loss: faults.loss,
                    duplicate: faults.duplicate,
                    partition_every: faults.partition_every,
                    crash_every: faults.crash_every,
                    ..Faults::default()
                };
                surely(&mut faults.crash_every, 300_000, 1_500_000);
            }
            Self::Liveness => {
                // Nothing stays broken for ever while the only good copy may be there.
                faults.damage_every = 0;
                faults.lose_vote = 0;
                surely(&mut faults.partition_every, 100_000, 800_000);
            }
            Self::Disk => {
                surely(&mut faults.crash_before_persist, 5, 150);
                surely(&mut faults.crash_after_persist, 5, 150);
                surely(&mut faults.power_cut_every, 800_000, 4_000_000);
                surely(&mut faults.stall_every, 200_000, 2_000_000);
                surely(&mut faults.illness_every, 300_000, 3_000_000);
                surely(&mut faults.damage_every, 50_000, 1_000_000);
            }
            Self::Reads => {
                surely(&mut faults.partition_every, 100_000, 1_500_000);
                surely(&mut faults.pause_every, 200_000, 2_000_000);
            }
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Aim {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name);
        let found = Self::ALL.into_iter().find(|aim| aim.name() == name);
        found.ok_or_else(|| format!("no plan is called {name:?}; there are {}", known.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Plan, run};
    use super::*;

    #[test]
    fn each_aim_has_a_name_that_leads_back_to_it() {
        for aim in Aim::ALL {
            assert_eq!(aim.name().parse(), Ok(aim));
        }
        assert!("calm".parse::<Aim>().unwrap_err().contains("liveness"));
    }

    #[test]
    fn runs_of_each_aim_hold_and_meet_what_they_aim_at() {
        let marks = |aim| {
            let mut total = super::super::Report::default();
            for seed in 0..30 {
                let report = run(seed, Plan::aimed(aim));
                assert_eq!(report.violation, None, "{aim}, seed {seed}");
                total.add(&report);
            }
            total
        };
        let count = |aim, mark| marks(aim).marks.get(mark).copied().unwrap_or(0);

        assert!(count(Aim::Membership, "the membership was changed") > 60);
        assert!(count(Aim::Disk, "a damaged entry was mended") > 0);
        assert!(count(Aim::Reads, "a lease read was served") > 500);
        assert!(
            marks(Aim::Liveness)
                .faults
                .keys()
                .any(|k| k.starts_with("for ever"))
        );
        assert!(!marks(Aim::Lite).faults.contains_key("disk stall"));
    }
}
