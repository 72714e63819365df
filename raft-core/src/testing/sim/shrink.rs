//! A failing run, made as small as it still fails.

use super::plan::FAULTS;
use super::{Plan, Report, run};

/// Shorter phases of faults than this are not worth trying.
const SHORTEST: std::time::Duration = std::time::Duration::from_millis(50);

/// Leaves out faults and shortens the run as long as `seed` still violates a
/// property, whichever it is. Answers the plan that is left and its report;
/// nothing if `plan` itself violates nothing.
///
/// Costs some forty runs.
pub fn shrink(seed: u64, plan: &Plan) -> Option<(Plan, Report)> {
    let fails = |plan: &Plan| Some(run(seed, plan.clone())).filter(|r| r.violation.is_some());
    let (mut smallest, mut report) = (plan.clone(), fails(plan)?);
    let mut attempt = |candidate: Plan| {
        let failed = fails(&candidate);
        let is_smaller = failed.is_some();
        if let Some(failed) = failed {
            (smallest, report) = (candidate, failed);
        }
        (is_smaller, smallest.clone())
    };
    let mut current = plan.clone();
    for &name in FAULTS.iter().filter(|name| plan.has(name)) {
        let mut candidate = current.clone();
        candidate.without.push(name);
        (_, current) = attempt(candidate);
    }
    while current.fault_time > SHORTEST {
        let mut candidate = current.clone();
        candidate.fault_time = current.fault_time * 3 / 4;
        let is_smaller;
        (is_smaller, current) = attempt(candidate);
        if !is_smaller {
            break;
        }
    }
    Some((smallest, report))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// No group elects anybody in no time at all.
    fn impossible() -> Plan {
        Plan {
            liveness_bound: Duration::ZERO,
            ..Plan::default()
        }
    }

    #[test]
    fn a_failure_that_needs_no_faults_is_left_without_any() {
        let (plan, report) = shrink(3, &impossible()).unwrap();

        assert_eq!(plan.without, FAULTS);
        assert!(plan.fault_time <= SHORTEST);
        assert!(report.violation.is_some());
        assert!(report.faults.is_empty(), "{:?}", report.faults);
    }

    #[test]
    fn what_does_not_fail_is_not_shrunk() {
        assert!(shrink(3, &Plan::default()).is_none());
    }
}
