//! Traces: what a group did, one step a line, as a module for the checker.
//!
//! The first line describes the group: `{"action": "group", "replicas": [1, 2, 3],
//! "voters": [1, 2, 3], "learners": []}`. Each line after it is a step, named by its
//! `action`, of a `replica`. What each step must carry, `docs/tla/Trace.tla` shows.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::json::Json;

/// The steps of a group.
#[derive(Debug)]
pub(super) struct Trace {
    group: Json,
    steps: Vec<Json>,
    lines: Vec<String>,
}

impl Trace {
    /// Reads a trace; blank lines count for nothing.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().enumerate();
        let mut lines = lines.filter(|(_, line)| !line.trim().is_empty());
        let (_, first) = lines.next().context("the trace is empty")?;
        let group = Json::parse(first).context("line 1")?;
        ensure!(
            action(&group) == Some("group") && group.get("replicas").is_some(),
            "the first line does not describe the group: its action is \"group\", and it names replicas and voters"
        );
        let (mut steps, mut kept) = (Vec::new(), Vec::new());
        for (at, line) in lines {
            let place = || format!("line {}", at + 1);
            let step = Json::parse(line).with_context(place)?;
            ensure!(action(&step).is_some(), "{} names no action", place());
            let replica = step.get("replica").and_then(Json::number);
            ensure!(replica.is_some(), "{} names no replica", place());
            steps.push(step);
            kept.push(format!("{}: {}", place(), line.trim()));
        }
        let lines = kept;
        Ok(Self {
            group,
            steps,
            lines,
        })
    }

    /// The module `TraceData`, which `Trace.tla` reads.
    pub(super) fn module(&self) -> String {
        let steps: Vec<_> = self.steps.iter().map(Json::expression).collect();
        format!(
            "---- MODULE TraceData ----\nEXTENDS Naturals\n\nGroup == {}\n\nHighestTerm == {}\n\nSteps == <<\n    {}\n>>\n====\n",
            self.group.expression(),
            self.highest_term(),
            steps.join(",\n    ")
        )
    }

    /// A step, counted from 1, as the trace has it.
    pub(super) fn step(&self, at: usize) -> &str {
        let line = at.checked_sub(1).and_then(|before| self.lines.get(before));
        line.map_or("none, it is the end of the trace", String::as_str)
    }

    /// No term of the trace is above this one. A campaign does not say its term, but
    /// it is the next one after what the replica had.
    fn highest_term(&self) -> u64 {
        let mut terms: BTreeMap<u64, u64> = BTreeMap::new();
        for step in &self.steps {
            let number = |key: &str| step.get(key).and_then(Json::number).unwrap_or(0);
            let term = terms.entry(number("replica")).or_default();
            *term = (*term).max(number("term"));
            if action(step) == Some("campaign") {
                *term += 1;
            }
        }
        terms.into_values().max().unwrap_or(0).max(1)
    }
}

fn action(step: &Json) -> Option<&str> {
    match step.get("action") {
        Some(Json::Text(name)) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = r#"{"action": "group", "replicas": [1, 2], "voters": [1, 2]}"#;

    #[test]
    fn a_trace_becomes_a_module() {
        let text = format!(
            "{GROUP}\n\n{}\n{}\n",
            r#"{"action": "campaign", "replica": 1}"#,
            r#"{"action": "learn_term", "replica": 2, "term": 1, "cut": null}"#
        );

        let trace = Trace::parse(&text).unwrap();

        let module = trace.module();
        assert!(module.starts_with("---- MODULE TraceData ----\n"));
        assert!(module.contains("Group == [action |-> \"group\", replicas |-> <<1, 2>>"));
        assert!(module.contains("HighestTerm == 1\n"));
        assert!(module.contains(
            "<<\n    [action |-> \"campaign\", replica |-> 1],\n    [action |-> \"learn_term\", replica |-> 2, term |-> 1]\n>>"
        ));
        assert!(
            trace
                .step(2)
                .starts_with("line 4: {\"action\": \"learn_term\"")
        );
    }

    #[test]
    fn campaigns_raise_the_highest_term() {
        let campaign = r#"{"action": "campaign", "replica": 1}"#;
        let learn = r#"{"action": "learn_term", "replica": 1, "term": 5}"#;
        let text = [GROUP, campaign, learn, campaign, campaign].join("\n");

        assert_eq!(Trace::parse(&text).unwrap().highest_term(), 7);
    }

    #[test]
    fn a_line_that_is_no_step_is_named() {
        let error = Trace::parse(&format!("{GROUP}\n{{\"replica\": 1}}")).unwrap_err();
        assert_eq!(error.to_string(), "line 2 names no action");

        let error = Trace::parse(&format!("{GROUP}\nnonsense")).unwrap_err();
        assert_eq!(error.to_string(), "line 2");

        let error = Trace::parse("{\"action\": \"campaign\", \"replica\": 1}").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the first line does not describe the group")
        );
    }
}
