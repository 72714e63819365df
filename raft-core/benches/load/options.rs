//! What may be said on the command line. What cargo adds on its own is passed over.

/// Seconds to measure each row of each side, over all rounds: `--seconds S`, or a
/// fifth of `default` with `--quick`.
///
/// # Panics
///
/// When `--seconds` comes without a number above zero.
pub(crate) fn seconds(default: f64) -> f64 {
    match number_after("--seconds") {
        Some(seconds) => seconds,
        None if has("--quick") => default / 5.0,
        None => default,
    }
}

/// Whether `size`, a number of clients or of commands in a batch, is wanted:
/// `--only N` leaves out all others, as a profiler wants it.
pub(crate) fn is_wanted(size: usize) -> bool {
    number_after("--only").is_none_or(|only| only == size as f64)
}

/// Whether `word` was said.
pub(crate) fn has(word: &str) -> bool {
    std::env::args().any(|said| said == word)
}

fn number_after(word: &str) -> Option<f64> {
    let mut words = std::env::args();
    words.find(|said| said == word)?;
    let number = words.next().and_then(|said| said.parse().ok());
    let number = number.filter(|&number: &f64| number > 0.0 && number.is_finite());
    Some(number.unwrap_or_else(|| panic!("`{word}` is followed by a number above zero")))
}
