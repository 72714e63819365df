//! The fuzzer's bytes as a sequence of choices. Few bytes a choice, so that a
//! mutation of one byte changes one decision; when they are used up, the first
//! possibility is always taken.

use arbitrary::Unstructured;

/// The choices still to be made.
pub struct Choices<'a>(Unstructured<'a>);

impl<'a> Choices<'a> {
    /// The choices that `bytes` stand for.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Unstructured::new(bytes))
    }

    /// Whether nothing is left to choose by.
    pub fn are_over(&self) -> bool {
        self.0.is_empty()
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// A number below `bound`, which is not zero and at most 256.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// Yes or no.
    pub fn coin(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Yes in one of `times` cases.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    /// One of `values`, or the default if there is none.
    pub fn one_of<T: Copy + Default>(&mut self, values: &[T]) -> T {
        match values.len() {
            0 => T::default(),
            length => values[self.below(length.min(256))],
        }
    }

    /// A number near one of `anchors`, or one that is wrong in an interesting way.
    pub fn near(&mut self, anchors: &[u64]) -> u64 {
        let byte = self.byte();
        let (which, how) = (usize::from(byte >> 4), u64::from(byte & 15));
        let anchor = match anchors.len() {
            0 => 0,
            length => anchors[which % length],
        };
        match how {
            0..=6 => anchor.saturating_add(how).saturating_sub(3),
            7..=13 => anchor,
            14 => 0,
            _ => match which {
                0..=5 => u64::MAX / 2 - which as u64,
                6..=11 => u64::MAX - (which as u64 - 6),
                _ => self.number(),
            },
        }
    }
}
