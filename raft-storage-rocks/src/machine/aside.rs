//! What may not be dropped on a thread of the runtime, because that takes the disk.

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

/// Holds a value that is dropped where blocking is allowed, also when whoever held it is
/// called off.
pub(super) struct Aside<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Aside<T> {
    pub(super) const fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// The value, to go on with.
    pub(super) fn take(mut self) -> T {
        self.0.take().expect("only `take` and `end` take it, once")
    }

    /// Drops the value, and returns when that is done.
    pub(super) async fn end(mut self) {
        let value = self.0.take();
        // A panic while dropping was printed.
        let _ = spawn_blocking(move || drop(value)).await;
    }
}

impl<T: Send + 'static> Drop for Aside<T> {
    fn drop(&mut self) {
        if let (Some(value), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(value));
        }
    }
}
