//! What may be said on the command line. What cargo adds on its own is passed over.

/// Seconds to measure each row of each side, over all rounds: `--seconds S`, or a
/// fifth of `default` with `--quick`.
///
/// # Panics
///
/// When `--seconds` comes without a number above zero.
pub(crate) fn seconds(default: f64) -> f64 {
    let mut words = std::env::args();
    if words.any(|word| word == "--seconds") {
        let number = words.next().and_then(|word| word.parse().ok());
        return number
            .filter(|&seconds: &f64| seconds > 0.0 && seconds.is_finite())
            .expect("`--seconds` is followed by a number above zero");
    }
    if has("--quick") {
        default / 5.0
    } else {
        default
    }
}

/// Whether `word` was said.
pub(crate) fn has(word: &str) -> bool {
    std::env::args().any(|said| said == word)
}
