//! Carries the futures of a user's state machine through, at once.
//!
//! In virtual time nobody waits: a call is polled until it is done. One that never
//! will be is found out: nobody holds its waker any more, or it goes on for too long.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::super::report::Violation;
use super::super::words;

/// How long another thread may take to wake a call.
const PATIENCE: Duration = Duration::from_secs(60);
/// A call that was polled so often only ever wakes itself.
const MOST_POLLS: u32 = 10_000_000;

/// Says whether a call wants to be polled again.
#[derive(Debug, Default)]
struct Signal {
    is_woken: Mutex<bool>,
    bell: Condvar,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        *self.is_woken.lock().expect("no holder panics") = true;
        self.bell.notify_one();
    }
}

impl Signal {
    /// Waits until the call is woken. Answers whether it was, within `patience`.
    fn wait(&self, patience: Duration) -> bool {
        let is_woken = self.is_woken.lock().expect("no holder panics");
        let waited = self
            .bell
            .wait_timeout_while(is_woken, patience, |is_woken| !*is_woken);
        let (mut is_woken, _) = waited.expect("no holder panics");
        std::mem::take(&mut *is_woken)
    }
}

/// Carries `call` through. `what` names it in the words of a violation.
pub(super) fn complete<F: Future>(what: &str, call: F) -> Result<F::Output, Violation> {
    let mut call = pin!(call);
    let signal = Arc::new(Signal::default());
    let waker = Waker::from(Arc::clone(&signal));
    for _ in 0..MOST_POLLS {
        if let Poll::Ready(output) = poll(what, call.as_mut(), &waker)? {
            return Ok(output);
        }
        // The signal and its waker here are two. Whoever else held one and let go
        // of it has woken the call before, or never will.
        let is_forgotten = Arc::strong_count(&signal) == 2;
        fence(Ordering::Acquire);
        let patience = if is_forgotten {
            Duration::ZERO
        } else {
            PATIENCE
        };
        if !signal.wait(patience) {
            return Err(never_ends(what, is_forgotten));
        }
    }
    let reason = format!("{what} was polled {MOST_POLLS} times and is not done");
    Err(Violation::new("calls end", reason))
}

/// Polls `call` up to `polls` times and drops it, as a crash would. Answers its
/// result if it came to one.
pub(super) fn interrupt<F: Future>(
    what: &str,
    call: F,
    polls: u64,
) -> Result<Option<F::Output>, Violation> {
    let mut call = pin!(call);
    let waker = Waker::from(Arc::new(Signal::default()));
    for _ in 0..polls {
        if let Poll::Ready(output) = poll(what, call.as_mut(), &waker)? {
            return Ok(Some(output));
        }
        std::thread::yield_now();
    }
    Ok(None)
}

/// Polls once; a panic becomes a violation that says where.
fn poll<F: Future>(
    what: &str,
    call: Pin<&mut F>,
    waker: &Waker,
) -> Result<Poll<F::Output>, Violation> {
    let mut context = Context::from_waker(waker);
    let polled = catch_unwind(AssertUnwindSafe(|| call.poll(&mut context)));
    polled.map_err(|panic| {
        let reason = format!("{what} panicked: {}", words(&*panic));
        Violation::new("calls do not panic", reason)
    })
}

fn never_ends(what: &str, is_forgotten: bool) -> Violation {
    let why = match is_forgotten {
        true => "nobody is left who could wake it".to_owned(),
        false => format!("nobody woke it within {} s", PATIENCE.as_secs()),
    };
    let help = "a call that needs a runtime needs one with threads of its own, entered";
    Violation::new("calls end", format!("{what} never ends: {why}; {help}"))
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};

    use super::*;

    #[test]
    fn a_call_that_nobody_can_wake_is_found_at_once() {
        let violation = complete("n1: apply", pending::<()>()).unwrap_err();
        assert_eq!(violation.property, "calls end");
        assert!(violation.reason.contains("nobody is left"), "{violation}");
    }

    #[test]
    fn another_thread_may_wake_a_call() {
        let mut helper = None;
        let call = poll_fn(|context| match helper.take() {
            None => {
                let waker = context.waker().clone();
                helper = Some(std::thread::spawn(move || waker.wake()));
                Poll::Pending
            }
            Some(helper) => Poll::Ready(helper.join().is_ok()),
        });
        assert!(complete("n1: apply", call).unwrap());
    }

    #[test]
    fn a_panic_says_where() {
        let call = async { panic!("out of luck") };
        let violation = complete::<_>("n2: restore", call).unwrap_err();
        assert_eq!(violation.reason, "n2: restore panicked: out of luck");
    }

    #[test]
    fn an_interrupted_call_is_dropped() {
        let cut_short = interrupt("n1: apply", pending::<()>(), 3).unwrap();
        assert_eq!(cut_short, None);
        assert_eq!(interrupt("n1: apply", async { 7 }, 1).unwrap(), Some(7));
    }
}
