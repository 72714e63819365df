//! Directories that can be crashed, for the author of a store that keeps files.
//!
//! There are two, and what they can show differs.
//!
//! [`RecordedDisk`] stands in for the file system: the store writes through a
//! [`Directory`], which records what was synced. A crash then does what a power cut
//! may do: each write since the last sync of its file is lost, kept or torn, and names
//! of files go back to where the directory was synced last. It shows a sync that is
//! missing, too early, or of the wrong file, a directory that was not synced after a
//! rename, and what depends on the order of two writes. It can stop between any two
//! operations, and each can fail: a sync that fails may give up for good what it was to make
//! durable. What it cannot show is what only a real file system does.
//!
//! To use it a store is written against a small trait of its own, which it implements
//! once with `std::fs` and once with [`Directory`].
//!
//! [`CopiedDirectory`] is for a store that uses `std::fs` itself. A crash copies the
//! directory as the operating system shows it, and tears what was written into files since
//! a call returned last. It shows appends and overwrites that are not atomic, and tails that
//! are read as good. It **cannot** show a missing sync: nobody tells it what was synced, so it
//! never takes back what a call wrote that returned.
//!
//! [`FileHarness`](super::conformance::files::FileHarness) makes a conformance harness
//! of the first, [`CopyHarness`](super::conformance::files::CopyHarness) of the second.

mod copied;
mod directory;
mod model;
#[cfg(test)]
mod tests;

pub use copied::CopiedDirectory;
pub use directory::{Directory, RecordedDisk};
