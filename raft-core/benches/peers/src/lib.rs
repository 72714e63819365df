//! How our figures relate to those of others under the same load.
//!
//! ```text
//! cargo xtask bench --peers
//! ```
//!
//! The comparisons are the benchmarks of this package; the loads are those of
//! raft-core's own benchmarks, by path.

/// By which factor `ours` is above `theirs`: the median of the turns. Each turn
/// is compared with its own, because the machine changes from turn to turn.
pub fn factor(ours: &[f64], theirs: &[f64]) -> f64 {
    let turns = ours.iter().zip(theirs);
    let mut factors: Vec<f64> = turns.map(|(ours, theirs)| ours / theirs).collect();
    factors.sort_by(f64::total_cmp);
    factors.get(factors.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_is_that_of_the_turn_in_the_middle() {
        assert_eq!(factor(&[2.0, 9.0, 30.0], &[1.0, 3.0, 10.0]), 3.0);
    }
}
