//! Where the world tells the user's state machines what happens. Without any, it
//! tells nobody.

use super::super::checker::Check;
use super::super::world::World;
use super::UserMachines;
use crate::entry::LogSlice;

impl World {
    /// Tells the user's state machines, if there are any.
    pub(crate) fn tell_user_machines(
        &mut self,
        tell: impl FnOnce(&mut dyn UserMachines) -> Check,
    ) -> Check {
        match &mut self.user_machines {
            Some(machines) => tell(machines.as_mut()),
            None => Ok(()),
        }
    }

    /// A node's digest was opened at its start.
    pub(crate) fn user_machine_starts(&mut self, place: usize) -> Check {
        let applied = self.nodes[place].machine.state.applied();
        self.tell_user_machines(|machines| machines.start(place, applied))
    }

    /// A node's digest is about to go back to what is durable.
    pub(crate) fn user_machine_crashes(&mut self, place: usize) -> Check {
        let job = self.nodes[place].machine.oldest_job();
        match &mut self.user_machines {
            Some(machines) => machines.crash(place, job),
            None => Ok(()),
        }
    }

    /// A node's digest has applied these.
    pub(crate) fn user_machine_applies(&mut self, place: usize, entries: &LogSlice) -> Check {
        self.tell_user_machines(|machines| machines.apply(place, entries))
    }

    /// A node sends its state: the number of the user's snapshot, if there is one.
    pub(crate) fn user_snapshot(
        &mut self,
        place: usize,
    ) -> Result<Option<usize>, super::Violation> {
        let machines = self.user_machines.as_mut();
        machines
            .map(|machines| machines.snapshot(place))
            .transpose()
    }
}
