//! Where the words of a run go: to a standard output that may be closed or full, and to
//! standard error. Neither ends the run, as `println!` would.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A standard output that remembers what became of it.
pub(crate) struct Output(Mutex<State>);

struct State {
    to: Box<dyn Write + Send>,
    /// Whoever read it has gone.
    is_closed: bool,
    /// Why it took no more.
    failure: Option<io::Error>,
}

impl Output {
    pub(crate) fn to(writer: impl Write + Send + 'static) -> Self {
        Self(Mutex::new(State {
            to: Box::new(writer),
            is_closed: false,
            failure: None,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line, unless one could not be written before.
    pub(crate) fn line(&self, text: impl Display) {
        let mut state = self.lock();
        if !state.is_closed && state.failure.is_none() {
            let written = writeln!(state.to, "{text}");
            state.note(written);
        }
    }

    /// Writes what is left. Answers what is wrong, in words, if not all could be written;
    /// that somebody stopped reading is not wrong.
    pub(crate) fn finish(&self) -> Result<(), String> {
        let mut state = self.lock();
        if !state.is_closed && state.failure.is_none() {
            let written = state.to.flush();
            state.note(written);
        }
        match &state.failure {
            None => Ok(()),
            Some(error) => Err(format!("cannot write to standard output: {error}")),
        }
    }
}

impl State {
    fn note(&mut self, written: io::Result<()>) {
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.is_closed = true,
            Err(error) => self.failure = Some(error),
        }
    }
}

/// Writes a line to standard error. Who closed that does not want to read it.
pub(crate) fn complain(text: impl Display) {
    match cfg!(test) {
        // The test runner takes this one in.
        true => eprintln!("{text}"),
        false => drop(writeln!(io::stderr(), "{text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails every write with this error.
    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_output_that_nobody_reads_any_more_is_no_failure() {
        let output = Output::to(Failing(ErrorKind::BrokenPipe));
        output.line("one");
        output.line("two");
        assert_eq!(output.finish(), Ok(()));
    }

    #[test]
    fn an_output_that_is_full_is_a_failure_with_words() {
        let output = Output::to(Failing(ErrorKind::StorageFull));
        output.line("one");
        let failure = output.finish().unwrap_err();
        assert!(failure.contains("standard output"), "{failure}");
    }
}
