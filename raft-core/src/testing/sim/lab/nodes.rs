//! What a script does to nodes: cut off, connect, crash, restart.

use super::group::Group;
use crate::config::Config;

impl Group {
    /// The node hears nobody, and nobody hears it.
    pub(super) fn disconnect(&mut self, place: usize) {
        self.connected[place] = false;
        self.wire(place);
    }

    /// Links the node with all others that are connected.
    pub(super) fn connect(&mut self, place: usize) {
        self.connected[place] = true;
        self.wire(place);
    }

    pub(super) fn disconnect_all(&mut self, places: impl IntoIterator<Item = usize>) {
        places.into_iter().for_each(|place| self.disconnect(place));
    }

    pub(super) fn connect_all(&mut self, places: impl IntoIterator<Item = usize>) {
        places.into_iter().for_each(|place| self.connect(place));
    }

    fn wire(&mut self, place: usize) {
        for other in (0..self.size()).filter(|other| *other != place) {
            let is_cut = !(self.connected[place] && self.connected[other]);
            self.world.network.set_cut(place, other, is_cut);
            self.world.network.set_cut(other, place, is_cut);
        }
    }

    /// The node stops; only what is durable stays, until the script starts it again.
    pub(super) fn crash(&mut self, place: usize) {
        let check = self.world.crash(place, "crash");
        self.hold(check);
        // The restart that every other run schedules does not happen.
        self.world.nodes[place].life += 1;
    }

    /// Starts the node from its disk, if it is down.
    pub(super) fn restart(&mut self, place: usize) {
        let check = self.world.start(place);
        self.hold(check);
    }

    /// All nodes start anew with other settings.
    pub(super) fn reconfigure(&mut self, settings: impl FnOnce(&mut Config)) {
        settings(&mut self.world.config);
        (0..self.size()).for_each(|place| self.crash(place));
        (0..self.size()).for_each(|place| self.restart(place));
    }

    /// The `steps`-th node after `place`, round and round.
    pub(super) fn after(&self, place: usize, steps: usize) -> usize {
        (place + steps) % self.size()
    }

    /// Any node.
    pub(super) fn any(&mut self) -> usize {
        self.random.position(self.world.nodes.len())
    }
}
