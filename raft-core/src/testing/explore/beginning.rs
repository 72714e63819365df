//! How a group gets to where an exploration begins.

use super::Beginning;
use super::state::{Choice, State, place_of};
use crate::protocol::RoleKind;
use crate::testing::spec::Refused;

/// All three nodes.
const ALL: &[usize] = &[0, 1, 2];

impl State {
    /// Brings the group there.
    pub(super) fn begin(&mut self, from: Beginning) -> Result<(), Refused> {
        match from {
            Beginning::Start => Ok(()),
            Beginning::Leader => self.lead(),
            Beginning::Contest => {
                self.lead()?;
                self.contest()
            }
        }
    }

    /// The first node is elected, and all that follows from it happens.
    fn lead(&mut self) -> Result<(), Refused> {
        self.apply(Choice::Deadline(0))?;
        while let Some(choice) = self.next_among(ALL) {
            self.apply(choice)?;
        }
        Ok(())
    }

    /// It gets commands that reach nobody; then the second is elected by the third.
    fn contest(&mut self) -> Result<(), Refused> {
        self.apply(Choice::Command(0))?;
        self.apply(Choice::Command(0))?;
        self.messages.clear();
        while let Some(choice) = self.next_among(&[0]) {
            self.apply(choice)?;
        }
        self.messages.clear();
        self.forget_leader(1);
        self.forget_leader(2);
        self.apply(Choice::Deadline(1))?;
        while self.role(1) != RoleKind::Leader {
            let choice = self.next_among(&[1, 2]);
            self.apply(choice.expect("two of three elect a leader"))?;
        }
        Ok(())
    }

    /// What comes next if only these nodes do anything: what is written first, then the
    /// oldest message between them.
    fn next_among(&self, nodes: &[usize]) -> Option<Choice> {
        let busy = nodes
            .iter()
            .find(|&&place| !self.nodes[place].queue.is_empty());
        let is_between = |at: &usize| {
            let envelope = &self.messages[*at].1;
            let ends = [place_of(envelope.from), place_of(envelope.to)];
            ends.iter().all(|end| nodes.contains(end))
        };
        let message = || (0..self.messages.len()).find(is_between);
        busy.map(|&place| Choice::Written(place))
            .or_else(|| message().map(Choice::Arrives))
    }
}
