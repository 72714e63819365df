//! Clients: unique commands and reads on random nodes, at a random pace.

use bytes::Bytes;

use super::aim::Aim;
use super::random::Random;
use crate::protocol::Consistency;

/// What the clients of a run do.
#[derive(Debug)]
pub(crate) struct Workload {
    random: Random,
    /// Mean time between two requests of one client.
    pace: u64,
    clients: usize,
    next_value: u64,
    /// Some reads trust the lease.
    leases: bool,
    /// Reads among the requests, in ten thousand.
    reads: u64,
}

/// One request.
#[derive(Debug)]
pub(crate) enum Request {
    /// Propose these commands.
    Write(Vec<Bytes>),
    /// Read this many times.
    Read(usize, Consistency),
}

impl Workload {
    /// Draws how many clients there are and how busy.
    pub(crate) fn new(mut random: Random, leases: bool, aim: Aim) -> Self {
        Self {
            pace: random.between(10_000, 120_000),
            clients: 1 + random.position(4),
            random,
            next_value: 0,
            leases,
            reads: if aim == Aim::Reads { 8000 } else { 3000 },
        }
    }

    /// How many clients there are.
    pub(crate) const fn clients(&self) -> usize {
        self.clients
    }

    /// Whether clients may trust leases.
    pub(crate) const fn trusts_leases(&self) -> bool {
        self.leases
    }

    /// How long a client waits before its next request.
    pub(crate) fn pause(&mut self) -> u64 {
        self.random.around(self.pace)
    }

    /// Where a client goes next, and what for.
    pub(crate) fn next(&mut self, nodes: usize) -> (usize, Request) {
        let node = self.random.position(nodes);
        let request = match self.random.chance(self.reads) {
            true => {
                let consistency = match self.random.position(6) {
                    0 => Consistency::Stale,
                    1 | 2 if self.leases => Consistency::Lease,
                    _ => Consistency::Linearizable,
                };
                Request::Read(1 + self.random.position(3), consistency)
            }
            false => {
                let count = 1 + self.random.position(3);
                Request::Write((0..count).map(|_| self.command()).collect())
            }
        };
        (node, request)
    }

    /// A command like no other of the run.
    pub(crate) fn command(&mut self) -> Bytes {
        self.next_value += 1;
        let mut command = self.next_value.to_le_bytes().to_vec();
        command.resize(8 + self.random.position(60), 0);
        command.into()
    }
}

/// What a command writes: the number that sets it apart.
pub(crate) fn value_of(command: &[u8]) -> u64 {
    let number = command.first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(number)
}
