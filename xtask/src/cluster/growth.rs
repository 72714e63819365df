//! Nodes that come to a running cluster and go from it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};

use super::layout::choose_ports;
use super::process::Process;
use super::{Cluster, Member, Ports};

/// How long a node may take to answer for its metrics.
const METRICS_LIMIT: Duration = Duration::from_secs(5);

impl Ports {
    /// Free ones for a node that is to join.
    pub(crate) fn choose() -> Result<Self> {
        let ports = choose_ports(&[0])?;
        ports.first().copied().context("no free port")
    }

    /// Where its peers reach it.
    pub(crate) fn peer_address(self) -> String {
        format!("127.0.0.1:{}", self.peer)
    }
}

impl Cluster {
    /// A new, empty cluster whose nodes, later ones too, have these settings beside.
    pub(crate) fn fresh_with(name: &str, settings: &str) -> Result<Self> {
        let mut cluster = Self::empty(name)?;
        cluster.settings = settings.to_owned();
        for member in &cluster.members {
            cluster.write_configuration(member, false)?;
        }
        cluster.begin()?;
        Ok(cluster)
    }

    /// Starts a node that the cluster has added as `number`.
    pub(crate) fn join(&mut self, number: u64, ports: Ports) -> Result<()> {
        let process = Process::new(self.dir.join(format!("node-{number}")));
        let member = Member {
            number,
            ports,
            process,
        };
        self.write_configuration(&member, true)?;
        self.make_certificates(&[number])?;
        self.members.push(member);
        let (server, detached) = (self.server(), self.detached);
        self.process(number)?.start(&server, detached)
    }

    /// Waits until a node that was removed has ended by itself; answers its last word.
    pub(crate) fn retire(&mut self, number: u64, limit: Duration) -> Result<String> {
        let last_word = self.process(number)?.ended_by_itself(limit)?;
        self.forget(number);
        Ok(last_word)
    }

    /// Reckons no more with a node that is dead.
    pub(crate) fn forget(&mut self, number: u64) {
        self.members.retain(|member| member.number != number);
    }

    /// What a node measured under `name`, all labels added up; nothing if it does not answer.
    pub(crate) fn metric(&self, number: u64, name: &str) -> Result<Option<f64>> {
        let endpoint = &self.endpoints()[self.place(number)?];
        Ok(fetch_metrics(endpoint).ok().map(|text| sum(&text, name)))
    }
}

fn fetch_metrics(endpoint: &str) -> Result<String> {
    let mut stream = TcpStream::connect(endpoint)?;
    stream.set_read_timeout(Some(METRICS_LIMIT))?;
    // The older version ends the answer with the connection: nothing to decode.
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {endpoint}\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// Adds up the samples of a metric; `name` may end with some of its labels.
fn sum(text: &str, name: &str) -> f64 {
    let samples = text.lines().filter_map(|line| {
        let (sample, value) = line.rsplit_once(' ')?;
        let (metric, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let (wanted, label) = name.split_once('{').unwrap_or((name, ""));
        let label = label.trim_end_matches('}');
        (metric == wanted && labels.contains(label)).then(|| value.parse::<f64>().ok())?
    });
    samples.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_metric_are_added_up_and_picked_by_label() {
        let text = "# TYPE bytes counter\nbytes{direction=\"sent\"} 5\n\
                    bytes{direction=\"received\"} 7\nbytes_more 9\n";

        assert!((sum(text, "bytes") - 12.0).abs() < 1e-9);
        assert!((sum(text, "bytes{direction=\"received\"}") - 7.0).abs() < 1e-9);
        assert!(sum(text, "other").abs() < 1e-9);
    }
}
