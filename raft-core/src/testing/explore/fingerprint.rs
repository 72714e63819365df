//! Numbers that tell states apart, by all that is in them.

use std::fmt::{self, Debug, Write};
use std::hash::{BuildHasherDefault, Hasher};

/// Hashes what would be printed, without printing it.
#[derive(Default)]
struct Printed(u64);

impl Write for Printed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut chunks = text.as_bytes().chunks_exact(8);
        for chunk in &mut chunks {
            let word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight"));
            self.0 = mix(self.0, word);
        }
        let rest = chunks.remainder();
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        self.0 = mix(
            self.0,
            u64::from_le_bytes(word) ^ ((rest.len() as u64) << 56),
        );
        Ok(())
    }
}

/// A number for all fields of `value`: whatever `Debug` shows of it.
pub(super) fn of(value: &impl Debug) -> u64 {
    let mut printed = Printed::default();
    write!(printed, "{value:?}").expect("hashing never fails");
    printed.0
}

/// Folds one number into another.
pub(super) const fn mix(digest: u64, number: u64) -> u64 {
    let mixed = (digest.rotate_left(25) ^ number).wrapping_mul(0xa076_1d64_78bd_642f);
    mixed ^ (mixed >> 31)
}

/// For maps whose keys are fingerprints.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = mix(self.0, byte.into());
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// Builds [`AsItIs`].
pub(super) type Keys = BuildHasherDefault<AsItIs>;
