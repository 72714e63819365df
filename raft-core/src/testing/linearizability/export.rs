//! Histories for other tools.

use std::fmt::Write;

use super::history::{Action, History, Operation};

/// An operation's begin or end.
struct Line<'a> {
    time: u64,
    kind: &'static str,
    operation: &'a Operation,
}

impl History {
    /// As Jepsen writes histories: one map a line, in the order of time, values as
    /// `[key value]`. A write without an answer ends as `:info` at the end.
    pub fn to_edn(&self) -> String {
        self.lines_as(|line| {
            let Operation { client, key, .. } = line.operation;
            let (name, value) = words(line, "nil");
            let (time, kind) = (line.time, line.kind);
            format!(
                "{{:process {client}, :type :{kind}, :f :{name}, :value [{key} {value}], :time {time}}}\n"
            )
        })
    }

    /// One JSON object a line, with the same fields as in [`History::to_edn`].
    pub fn to_json(&self) -> String {
        self.lines_as(|line| {
            let Operation { client, key, .. } = line.operation;
            let (name, value) = words(line, "null");
            let (time, kind) = (line.time, line.kind);
            format!(
                "{{\"process\":{client},\"type\":\"{kind}\",\"f\":\"{name}\",\"value\":[{key},{value}],\"time\":{time}}}\n"
            )
        })
    }

    fn lines_as(&self, format: impl Fn(&Line<'_>) -> String) -> String {
        let mut lines = Vec::new();
        let end = self
            .operations()
            .iter()
            .map(|o| o.returned.unwrap_or(o.invoked));
        let end = end.max().unwrap_or(0);
        for operation in self.operations() {
            lines.push(Line {
                time: operation.invoked,
                kind: "invoke",
                operation,
            });
            lines.push(Line {
                time: operation.returned.unwrap_or(end),
                kind: if operation.returned.is_some() {
                    "ok"
                } else {
                    "info"
                },
                operation,
            });
        }
        // What happens at one moment is concurrent: beginnings come first.
        lines.sort_by_key(|line| (line.time, line.kind != "invoke"));
        let mut text = String::new();
        for line in &lines {
            // Writing to a string does not fail.
            let _ = text.write_str(&format(line));
        }
        text
    }
}

/// The name of what was done, and the value as far as it is known at this line.
fn words(line: &Line<'_>, nothing: &str) -> (&'static str, String) {
    match line.operation.action {
        Action::Write(value) => ("write", value.to_string()),
        Action::Read(found) if line.kind == "ok" => {
            ("read", found.map_or(nothing.to_owned(), |v| v.to_string()))
        }
        Action::Read(_) => ("read", nothing.to_owned()),
    }
}
