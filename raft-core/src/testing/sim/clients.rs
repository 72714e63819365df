//! Clients ask: at their own pace, and as probes while a group recovers.

use super::checker::Check;
use super::recording::{What, words};
use super::workload::{Request, value_of};
use super::world::{Event, World};
use crate::protocol::{Consistency, Input, Raft};

impl World {
    /// A client's turn.
    pub(crate) fn client(&mut self, client: usize) -> Check {
        if self.now >= self.clients_stop_at {
            return Ok(());
        }
        let pause = self.workload.pause();
        self.schedule(pause, Event::Client(client));
        let (place, request) = self.workload.next(self.nodes.len());
        self.ask(place, request)
    }

    /// Asks for what has not succeeded yet on some node since the faults ended,
    /// one request at a time: what measures a group must not be what overloads it.
    pub(crate) fn probe(&mut self) -> Check {
        for place in 0..self.nodes.len() {
            if self.nodes[place].is_broken {
                continue;
            }
            let status = self.nodes[place].raft.as_ref().map(Raft::status);
            let (writes, reads) = status.map_or((0, 0), |status| {
                (status.pending_proposals, status.pending_reads)
            });
            if !self.nodes[place].has_written && writes == 0 {
                let command = self.workload.command();
                self.ask(place, Request::Write(vec![command]))?;
            }
            if !self.nodes[place].has_read && reads == 0 {
                self.ask(place, Request::Read(1, Consistency::Linearizable))?;
            }
        }
        Ok(())
    }

    /// A client reads at a node, and trusts its lease.
    pub(crate) fn read_by_lease(&mut self, place: usize) -> Check {
        match self.workload.trusts_leases() {
            true => self.ask(place, Request::Read(1, Consistency::Lease)),
            false => Ok(()),
        }
    }

    fn ask(&mut self, place: usize, request: Request) -> Check {
        let node = &mut self.nodes[place];
        if node.raft.is_none() || node.paused_until > self.now {
            return Ok(());
        }
        self.trace.note(&[6, place as u64]);
        let input = match request {
            Request::Write(commands) => {
                let propose = |command| {
                    let proposal = node.proposal(command);
                    let (request, command) =
                        (node.request(proposal.ticket), proposal.command.clone());
                    let value = value_of(&command);
                    self.checkers.register.writes(request, value, self.now);
                    self.checkers.proposals.proposed(request, command);
                    proposal
                };
                Input::Propose(commands.into_iter().map(propose).collect())
            }
            Request::Read(count, consistency) => {
                let mut tickets = Vec::with_capacity(count);
                for _ in 0..count {
                    let ticket = node.next_ticket();
                    match consistency {
                        Consistency::Stale => drop(node.stale_reads.insert(ticket)),
                        _ => {
                            let request = node.request(ticket);
                            self.checkers.reads.began(request);
                            self.checkers.register.reads(request, self.now);
                        }
                    }
                    if consistency == Consistency::Lease {
                        node.lease_reads.insert(ticket);
                    }
                    tickets.push(ticket);
                }
                Input::Read {
                    consistency,
                    tickets,
                }
            }
        };
        let id = node.id();
        self.trace
            .line(self.now, || format!("{id} is asked {input:?}"));
        self.tell(place, What::Client, || words::request(&input));
        self.handle(place, input)
    }
}
