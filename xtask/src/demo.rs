//! `cargo xtask demo`: the main job end to end, in front of your eyes.
//!
//! Three real processes; the leader is killed with SIGKILL while writers write;
//! at the end every acknowledged write is read back on every member.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::client::Client;
use crate::cluster::{self, Cluster};
use crate::load::{self, Load, Mark};
use crate::util;

const WRITERS: usize = 16;
/// How long writers write between two events: long enough to see a rate.
const STRETCH: Duration = Duration::from_secs(3);
const CATCH_UP_LIMIT: Duration = Duration::from_secs(60);

/// What happened in one stretch of the demo.
struct Stretch {
    what: String,
    mark: Mark,
}

/// Runs the demo; fails with the reason if anything was lost.
pub(crate) fn run() -> Result<()> {
    cluster::prepare_and_build()?;
    println!("\nstarting three nodes");
    let mut cluster = Cluster::fresh("xtask-demo")?;
    println!("{}", cluster.status_table()?);
    write_and_read(&cluster)?;
    let stretches = writes_through_faults(&mut cluster)?;
    cluster.wait_until_caught_up(CATCH_UP_LIMIT)?;
    println!("reading every acknowledged write back on every member");
    let verified = load::verify(&cluster.client(), &cluster.dir().join("writes"))?;

    println!("\n{}", util::table(&stretch_rows(&stretches)));
    println!("{}", util::table(&load::verified_rows(&verified)));
    let lost = load::lost(&verified);
    ensure!(
        lost == 0,
        "{lost} acknowledged writes are missing or different somewhere"
    );
    println!("nothing that was acknowledged is lost");
    cluster.discard()
}

/// One write through each member, read back through the others.
fn write_and_read(cluster: &Cluster) -> Result<()> {
    let client = cluster.client();
    for place in 0..cluster::NODES.len() {
        let (key, value) = (format!("hello/{place}"), format!("from member {place}"));
        let revision = client.only(place).put(&key, &value)?;
        let elsewhere = client.only((place + 1) % cluster::NODES.len());
        expect_value(&elsewhere, &key, &value)?;
        println!(
            "  put {key} through {}, read through another member at revision {revision}",
            cluster.endpoints()[place]
        );
    }
    Ok(())
}

fn expect_value(client: &Client, key: &str, value: &str) -> Result<()> {
    match client.get(key)? {
        Some(found) if found == value => Ok(()),
        found => bail!("{key} should be {value:?}, another member answers {found:?}"),
    }
}

/// The load, the kill and the return.
fn writes_through_faults(cluster: &mut Cluster) -> Result<Vec<Stretch>> {
    println!("\n{WRITERS} writers write through all members");
    let mut load = Load::start(&cluster.client(), &cluster.dir().join("writes"), WRITERS)?;
    let mut stretches = Vec::new();
    let mut note = |load: &mut Load, what: String| -> Result<()> {
        let mark = load.mark()?;
        println!(
            "  {what}: {:.0} writes/s, longest interruption {} ms",
            mark.rate(),
            mark.gap.as_millis()
        );
        stretches.push(Stretch { what, mark });
        Ok(())
    };
    sleep(STRETCH);
    note(&mut load, "all nodes up".to_owned())?;

    let leader = cluster.wait_for_leader()?;
    cluster.kill(leader)?;
    load.wait_for_writes()?;
    sleep(STRETCH);
    note(
        &mut load,
        format!("node {leader}, the leader, killed with SIGKILL"),
    )?;
    sleep(STRETCH);
    note(&mut load, "two nodes go on".to_owned())?;

    cluster.start(leader)?;
    cluster.wait_until_caught_up(CATCH_UP_LIMIT)?;
    note(&mut load, format!("node {leader} restarted and caught up"))?;
    sleep(STRETCH);
    note(&mut load, "all nodes up again".to_owned())?;
    load.stop()?;
    println!("{}", cluster.status_table()?);
    Ok(stretches)
}

fn stretch_rows(stretches: &[Stretch]) -> Vec<Vec<String>> {
    let head = [
        "what happened",
        "writes",
        "writes/s",
        "interrupted",
        "unanswered",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(stretches.iter().map(|Stretch { what, mark }| {
        vec![
            what.clone(),
            mark.acknowledged.to_string(),
            format!("{:.0}", mark.rate()),
            format!("{} ms", mark.gap.as_millis()),
            mark.failed.to_string(),
        ]
    }));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_shows_its_interruption() {
        let mark = Mark {
            gap: Duration::from_millis(380),
            acknowledged: 300,
            elapsed: Duration::from_secs(3),
            ..Mark::default()
        };
        let what = "leader killed".to_owned();

        let rows = stretch_rows(&[Stretch { what, mark }]);

        assert_eq!(rows[1], ["leader killed", "300", "100", "380 ms", "0"]);
    }
}
