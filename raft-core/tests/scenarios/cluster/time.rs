//! Time passes only on command.

use std::time::Duration;

use raft_core::protocol::Input;
use raft_core::{NodeId, Timestamp};

use super::{Cluster, MAX_STEPS};

impl Cluster {
    /// The next deadline of `node` comes; nobody else looks at the clock.
    pub(super) fn timeout(&mut self, node: NodeId) -> Result<(), String> {
        let raft = self.host(node)?.raft.as_ref().ok_or("it is down")?;
        let deadline = raft.poll_timeout();
        self.set_time(deadline);
        self.handle(node, Input::Tick)
    }

    /// `node` campaigns, all messages arrive, and it must win.
    pub(super) fn elect(&mut self, node: NodeId) -> Result<(), String> {
        self.report.is_quiet = true;
        self.report.is_election = true;
        let before = self.checks.terms_led_by(node);
        self.timeout(node)?;
        self.deliver_all()?;
        match self.checks.terms_led_by(node) > before {
            true => Ok(()),
            false => Err(format!("{node} was not elected: {:?}", self.report.take())),
        }
    }

    /// Time passes and timers go off, while nothing arrives.
    pub(super) fn advance(&mut self, duration: Duration) -> Result<(), String> {
        self.pass(duration, |_| Ok(()))
    }

    /// Time passes, timers go off, and everything arrives at once.
    pub(super) fn run(&mut self, duration: Duration) -> Result<(), String> {
        self.report.is_quiet = true;
        self.report.began = Some(self.now.since_start());
        self.pass(duration, Self::deliver_all)
    }

    fn pass(
        &mut self,
        duration: Duration,
        meanwhile: impl Fn(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        let end = self.now + duration;
        for _ in 0..MAX_STEPS {
            meanwhile(self)?;
            match self.next_deadline().filter(|(at, _)| *at <= end) {
                Some((at, node)) => {
                    self.set_time(at);
                    self.handle(node, Input::Tick)?;
                }
                None => {
                    self.set_time(end);
                    return Ok(());
                }
            }
        }
        Err("time stands still".to_owned())
    }

    fn next_deadline(&self) -> Option<(Timestamp, NodeId)> {
        self.hosts
            .iter()
            .filter(|(_, host)| !host.is_paused)
            .filter_map(|(node, host)| Some((host.raft.as_ref()?.poll_timeout(), *node)))
            .min()
    }

    fn set_time(&mut self, time: Timestamp) {
        self.now = self.now.max(time);
        self.report.now = self.now.since_start();
    }
}
