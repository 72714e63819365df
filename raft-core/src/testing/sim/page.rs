//! The page of a run: one HTML file that needs nothing but itself.
//!
//! A recording is written as JSON into the page, beside the style and the script that
//! draw it. Rows are arrays of numbers with times as differences, so that a run of a
//! hundred thousand messages takes a few megabytes. Texts come after their numbers, in
//! tables. What the rows mean is said where the script reads them: `page/data.js`.

mod json;

use super::recording::{LogChange, Recording, Sent, SpellKind, State, What};
use super::report::Report;
use json::{list, object, quoted, quoted_list};

const FRAME: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");

/// Each draws or does one thing; together they are the script, in this order.
const SCRIPT: [&str; 9] = [
    include_str!("page/data.js"),
    include_str!("page/history.js"),
    include_str!("page/view.js"),
    include_str!("page/lanes.js"),
    include_str!("page/arrows.js"),
    include_str!("page/overview.js"),
    include_str!("page/panels.js"),
    include_str!("page/input.js"),
    include_str!("page/selftest.js"),
];

impl Report {
    /// A page that shows the run, as one HTML file without any reference to another.
    ///
    /// Nothing if the plan did not ask for a recording ([`Plan::record`](super::Plan)),
    /// or if this report is of several runs. Costs some forty bytes for each message
    /// and each change of a node; of a very long run the page holds the end, and says so.
    pub fn page(&self) -> Option<String> {
        let recording = self.recording.as_ref().filter(|_| self.runs == 1)?;
        let script = SCRIPT.concat();
        let title = format!("raft run of seed {}", recording.seed);
        // The data comes last, because a text of the run may look like a place to fill.
        let (before, after) = FRAME
            .split_once("{{run}}")
            .expect("the frame has a place for the run");
        let fill = |part: &str| {
            let part = part.replace("{{title}}", &title);
            part.replace("{{style}}", STYLE)
                .replace("{{script}}", &script)
        };
        let data = self.data(recording);
        Some([fill(before), data, fill(after)].concat())
    }

    fn data(&self, recording: &Recording) -> String {
        let plan = &recording.plan;
        let violation = self.violation.as_ref().map_or("null".to_owned(), |found| {
            let (property, reason) = (quoted(found.property), quoted(&found.reason));
            object([("property", property), ("reason", reason)])
        });
        let mut fields = vec![
            ("seed", quoted(&recording.seed.to_string())),
            ("plan", quoted(plan.aim.name())),
            (
                "replay",
                quoted(&format!("cargo xtask sim {}", plan.replay(recording.seed))),
            ),
            ("hash", quoted(&format!("{:016x}", self.trace_hash))),
            ("events", self.steps.to_string()),
            ("violation", violation),
        ];
        fields.extend(happenings(recording));
        object(fields)
    }
}

/// What was recorded, field by field.
fn happenings(recording: &Recording) -> Vec<(&'static str, String)> {
    let happenings = deltas(
        &recording.happenings,
        |h| h.at,
        |h| {
            let place = h.place.map_or(-1, |place| place as i64);
            list([place, h.kind.number() as i64, h.text as i64])
        },
    );
    let spells = recording.spells.iter().map(|spell| {
        let kind = match spell.kind {
            SpellKind::Pause => 0,
            SpellKind::DiskHangs => 1,
        };
        let until = spell.until.min(recording.ended_at);
        list([spell.place as u64, kind, spell.from, until])
    });
    let phases = recording.phases.iter();
    let phases = phases.map(|(at, name)| format!("[{at},{}]", quoted(name)));
    let cuts = recording.cuts.iter().map(|(at, cuts)| {
        let cuts = cuts.iter().map(|cut| *cut as u64);
        list(std::iter::once(*at).chain(cuts))
    });
    let damage = recording.damage.iter().map(|(at, place, damaged)| {
        let damaged = damaged.iter().map(|index| index.get());
        list([*at, *place as u64].into_iter().chain(damaged))
    });
    let kinds = What::ALL.iter().map(|(_, words)| quoted_list(words));
    vec![
        ("begins", recording.begins_at.to_string()),
        ("ends", recording.ended_at.to_string()),
        ("forgotten", recording.forgotten.to_string()),
        ("nodes", recording.nodes.to_string()),
        ("founders", recording.founders.to_string()),
        ("usualDelay", recording.usual_delay.to_string()),
        ("phases", list(phases)),
        ("shapes", quoted_list(&recording.shapes.texts)),
        ("messages", messages(recording)),
        (
            "states",
            deltas(&recording.states, |state| state.at, state_row),
        ),
        ("logs", deltas(&recording.logs, |change| change.at, log_row)),
        ("cuts", list(cuts)),
        ("spells", list(spells)),
        ("damage", list(damage)),
        ("kinds", list(kinds)),
        ("happenings", happenings),
        ("texts", quoted_list(&recording.texts.texts)),
    ]
}

/// Rows in the order of time, each with the time since the one before at its start.
fn deltas<T>(rows: &[T], at: impl Fn(&T) -> u64, row: impl Fn(&T) -> String) -> String {
    let mut last = 0;
    let rows = rows.iter().map(|item| {
        let since = at(item).saturating_sub(last);
        last = at(item);
        format!("[{since},{}", &row(item)[1..])
    });
    list(rows)
}

fn messages(recording: &Recording) -> String {
    // What is noted on arrival was sent before what was noted first.
    let mut sorted: Vec<&Sent> = recording.messages.iter().collect();
    sorted.sort_by_key(|sent| sent.at);
    deltas(
        &sorted,
        |sent| sent.at,
        |sent| {
            let link = sent.from * recording.nodes + sent.to;
            let way = sent.way;
            let flags = [
                way.lost,
                way.copy,
                way.replay,
                way.slow,
                way.cut,
                way.violates,
            ];
            let bits = flags
                .iter()
                .rev()
                .fold(0, |bits, &f| 2 * bits + u64::from(f));
            let delay = sent.arrives_at - sent.at;
            let head = [delay, link as u64, sent.shape as u64, sent.term, bits];
            list(head.into_iter().chain(sent.numbers.iter().copied()))
        },
    )
}

fn state_row(state: &State) -> String {
    let shown = &state.shown;
    list([
        state.place as u64,
        shown.role.into(),
        shown.term,
        shown.voted_for,
        shown.purged,
        shown.last,
        shown.commit,
        shown.durable,
        shown.applied,
        shown.incarnation,
        shown.membership as u64,
        shown.is_broken.into(),
    ])
}

fn log_row(change: &LogChange) -> String {
    let head = [change.place as i64, i64::try_from(change.from).unwrap_or(0)];
    let entries = change.entries.iter().flat_map(|entry| {
        let term = i64::try_from(entry.term).unwrap_or(i64::MAX);
        [term, entry.value]
    });
    list(head.into_iter().chain(entries))
}

#[cfg(test)]
mod tests {
    use super::super::{Plan, Violation, run};
    use super::*;

    fn recorded(seed: u64) -> Report {
        let plan = Plan {
            record: true,
            ..Plan::default()
        };
        run(seed, plan)
    }

    #[test]
    fn a_page_refers_to_nothing_outside_itself() {
        let page = recorded(3).page().unwrap();

        for outside in [
            "http:", "https:", "src=", "href=", "url(", "@import", "import(",
        ] {
            assert!(!page.contains(outside), "the page has {outside}");
        }
        assert!(!page.contains("{{"), "a place was not filled");
    }

    #[test]
    fn a_page_holds_the_run_and_what_repeats_it() {
        let report = recorded(3);
        let page = report.page().unwrap();

        assert!(page.contains("cargo xtask sim --seeds 1 --seed 3"));
        assert!(page.contains(&format!("{:016x}", report.trace_hash)));
        assert!(page.contains("append_entries||after@"));
        assert!(page.contains("leads t"));
        assert!(page.len() < 3_000_000, "{} bytes", page.len());
    }

    /// What the run says cannot end the script that it stands in.
    #[test]
    fn a_violation_is_quoted_and_escaped() {
        let mut report = recorded(3);
        let reason = "a \"quote\", </script> and {{script}}";
        report.violation = Some(Violation::new("P1 election safety", reason));
        let page = report.page().unwrap();

        let quoted = r#"{"property":"P1 election safety","reason":"a \"quote\", \u003c/script> and {{script}}"}"#;
        assert!(page.contains(quoted));
        assert_eq!(page.matches("</script>").count(), 2);
    }

    #[test]
    fn no_page_comes_of_a_run_that_was_not_recorded_or_of_several() {
        assert!(run(3, Plan::default()).page().is_none());

        let mut total = recorded(3);
        total.add(&recorded(4));
        assert!(total.page().is_none());
    }
}
