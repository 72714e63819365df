//! What a run came to, for people and for programs.

use std::time::Duration;

use raft_core::testing::sim::Report;

use super::Failure;
use super::options::Options;

pub(crate) fn print(total: &Report, elapsed: Duration) {
    let speed = total.steps as f64 / elapsed.as_secs_f64() / 1000.0;
    println!("runs            {}", total.runs);
    println!("events          {}", total.steps);
    println!("simulated       {:.0} s", total.simulated.as_secs_f64());
    println!(
        "elapsed         {:.1} s, {speed:.0} thousand events a second",
        elapsed.as_secs_f64()
    );
    let recovery = total.slowest_recovery.as_secs_f64();
    println!("slowest healing {recovery:.1} s");
    println!("leaders         {}", total.leaders);
    println!("committed       {}", total.committed);
    println!("acknowledged    {}", total.acknowledged);
    println!("reads           {}", total.reads);
    println!("trace hash      {:016x}", total.trace_hash);
    println!("\nfaults");
    for (kind, count) in &total.faults {
        println!("  {count:>10}  {kind}");
    }
    println!("\nactions of the specification that explain it");
    for (name, count) in &total.actions {
        println!("  {count:>10}  {name}");
    }
    println!("\nsituations met");
    for (name, count) in &total.marks {
        println!("  {count:>10}  {name}");
    }
}

pub(crate) fn print_json(options: &Options, total: &Report, failures: &[Failure], missed: &[&str]) {
    let counts = |counts: &std::collections::BTreeMap<&'static str, u64>| {
        let fields: Vec<_> = counts.iter().map(|(k, v)| format!("{k:?}:{v}")).collect();
        format!("{{{}}}", fields.join(","))
    };
    let violations = failures.iter().map(|failure| {
        format!(
            "{{\"seed\":{},\"property\":{},\"reason\":{},\"replay\":{}}}",
            failure.seed,
            quoted(failure.violation.property),
            quoted(&failure.violation.reason),
            quoted(&failure.replay),
        )
    });
    let violations: Vec<_> = violations.collect();
    let missed: Vec<_> = missed.iter().map(|name| quoted(name)).collect();
    println!(
        "{{\"plan\":{},\"first_seed\":{},\"runs\":{},\"events\":{},\"simulated_seconds\":{:.3},\"leaders\":{},\
         \"committed\":{},\"acknowledged\":{},\"reads\":{},\"trace_hash\":\"{:016x}\",\"faults\":{},\
         \"actions\":{},\"situations\":{},\"never_met\":[{}],\"violations\":[{}]}}",
        quoted(options.plan.aim.name()),
        options.first,
        total.runs,
        total.steps,
        total.simulated.as_secs_f64(),
        total.leaders,
        total.committed,
        total.acknowledged,
        total.reads,
        total.trace_hash,
        counts(&total.faults),
        counts(&total.actions),
        counts(&total.marks),
        missed.join(","),
        violations.join(","),
    );
}

/// `text` as a JSON string.
fn quoted(text: &str) -> String {
    let escape = |c: char| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}
