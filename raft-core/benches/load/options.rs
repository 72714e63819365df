//! What may be said on the command line.

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Seconds for each row of each side, over all rounds.
    pub(crate) seconds: f64,
}

impl Options {
    /// Reads the command line: `--quick` takes a fifth of the time, `--seconds S`
    /// any. What cargo adds on its own is passed over.
    ///
    /// # Panics
    ///
    /// When `--seconds` comes without a number above zero.
    pub(crate) fn from_command_line(default_seconds: f64) -> Self {
        let mut seconds = default_seconds;
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => seconds = default_seconds / 5.0,
                "--seconds" => {
                    let number = words.next().and_then(|word| word.parse().ok());
                    seconds = number
                        .filter(|&seconds: &f64| seconds > 0.0 && seconds.is_finite())
                        .expect("`--seconds` is followed by a number above zero");
                }
                _ => {}
            }
        }
        Self { seconds }
    }
}
