//! What the checker said of a model, read from what it printed.

/// What came of a model.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// All states were looked at, and everything holds.
    Holds { figures: Figures },
    /// A property does not hold; `details` shows how it comes to that.
    Violated {
        property: String,
        details: String,
        figures: Figures,
    },
    /// A state was reached after which no step is allowed.
    Stuck { details: String, figures: Figures },
    /// It was ended before it had looked at all states.
    Unfinished { figures: Figures },
    /// The specification could not be read or evaluated.
    Broken { details: String },
}

/// How much was looked at, as far as the checker said.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Figures {
    pub(super) distinct: Option<u64>,
    pub(super) depth: Option<u64>,
}

impl Outcome {
    /// Reads all that the checker printed.
    pub(super) fn read(printed: &str) -> Self {
        let figures = Figures::read(printed);
        let details = details(printed);
        if printed.contains("No error has been found") {
            return Self::Holds { figures };
        }
        let mut errors = printed
            .lines()
            .filter_map(|line| line.strip_prefix("Error: "));
        let Some(first) = errors.next() else {
            return match printed.contains("Computing initial states") {
                true => Self::Unfinished { figures },
                false => Self::Broken {
                    details: printed.to_owned(),
                },
            };
        };
        if first.starts_with("Deadlock reached") {
            // All states before the last are what the trace says.
            let last = details.rfind("\nState ").map_or(0, |at| at + 1);
            let details = details[last..].to_owned();
            return Self::Stuck { details, figures };
        }
        match first.split_once(" is violated") {
            Some((property, _)) => Self::Violated {
                property: name_of(property),
                details,
                figures,
            },
            None => Self::Broken { details },
        }
    }

    pub(super) fn words(&self) -> String {
        match self {
            Self::Holds { .. } => "holds".to_owned(),
            Self::Violated { property, .. } => format!("{property} is violated"),
            Self::Stuck { .. } => "no step is allowed".to_owned(),
            Self::Unfinished { .. } => "out of time".to_owned(),
            Self::Broken { .. } => "cannot be checked".to_owned(),
        }
    }

    /// What the checker printed to explain itself.
    pub(super) fn details(&self) -> &str {
        match self {
            Self::Violated { details, .. }
            | Self::Stuck { details, .. }
            | Self::Broken { details } => details,
            Self::Holds { .. } | Self::Unfinished { .. } => "",
        }
    }

    pub(super) const fn figures(&self) -> Figures {
        match self {
            Self::Holds { figures }
            | Self::Violated { figures, .. }
            | Self::Stuck { figures, .. }
            | Self::Unfinished { figures } => *figures,
            Self::Broken { .. } => Figures {
                distinct: None,
                depth: None,
            },
        }
    }

    /// Which step of a trace is not allowed, counted from 1: the last value of `at`.
    pub(super) fn stuck_at(&self) -> Option<usize> {
        let mut lines = self.details().lines().rev();
        lines.find_map(|line| line.strip_prefix("/\\ at = ")?.trim().parse().ok())
    }
}

/// From the first error to the end, without what the checker says of its work.
fn details(printed: &str) -> String {
    let lines = printed
        .lines()
        .skip_while(|line| !line.starts_with("Error: "));
    let lines = lines.filter(|line| !line.starts_with("Progress("));
    lines.collect::<Vec<_>>().join("\n")
}

/// `Invariant ElectionSafety` is ElectionSafety; a property of steps has only a place.
fn name_of(property: &str) -> String {
    let name = property.strip_prefix("Invariant ").unwrap_or(property);
    name.to_owned()
}

impl Figures {
    fn read(printed: &str) -> Self {
        let mut figures = Self::default();
        for line in printed.lines() {
            if let Some((before, _)) = line.split_once(" distinct states found") {
                figures.distinct = before.rsplit(' ').next().and_then(number);
            }
            if let Some((_, after)) = line.split_once("state graph search is ") {
                figures.depth = number(after.trim_end_matches('.'));
            }
        }
        figures
    }
}

/// A number as the checker prints it, with commas or without.
fn number(text: &str) -> Option<u64> {
    text.replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_holds_comes_with_its_size() {
        let printed = "Computing initial states...\n\
            Progress(7) at 10:00: 1,234 states generated (1,234 s/min), 321 distinct states found (321 ds/min), 9 states left on queue.\n\
            Model checking completed. No error has been found.\n\
            562229 states generated, 76996 distinct states found, 0 states left on queue.\n\
            The depth of the complete state graph search is 39.\n";

        let figures = Figures {
            distinct: Some(76_996),
            depth: Some(39),
        };
        assert_eq!(Outcome::read(printed), Outcome::Holds { figures });
    }

    #[test]
    fn a_violation_names_its_property_and_shows_the_way_to_it() {
        let printed = "Computing initial states...\n\
            Error: Invariant ElectionSafety is violated.\n\
            Error: The behavior up to this point is:\n\
            State 1: <Initial predicate>\n/\\ asked = {}\n\
            12 states generated, 5 distinct states found, 1 states left on queue.\n";

        let outcome = Outcome::read(printed);

        assert_eq!(outcome.words(), "ElectionSafety is violated");
        assert_eq!(outcome.figures().distinct, Some(5));
        assert!(outcome.details().contains("State 1: <Initial predicate>"));
    }

    #[test]
    fn where_a_trace_is_stuck_is_read_from_the_last_state() {
        let printed = "Error: Deadlock reached.\n\
            Error: The behavior up to this point is:\n\
            State 1: <Initial predicate>\n/\\ at = 1\nState 2: <TraceNext>\n/\\ at = 2\n/\\ role = <<>>\n";

        let outcome = Outcome::read(printed);

        assert!(matches!(outcome, Outcome::Stuck { .. }));
        assert_eq!(outcome.stuck_at(), Some(2));
        assert!(outcome.details().starts_with("State 2: <TraceNext>"));
    }

    #[test]
    fn what_was_ended_is_not_taken_for_checked() {
        let printed = "Computing initial states...\n\
            Progress(7) at 10:00: 1,234 states generated (1,234 s/min), 321 distinct states found (321 ds/min), 9 states left on queue.\n";

        let figures = Figures {
            distinct: Some(321),
            depth: None,
        };
        assert_eq!(Outcome::read(printed), Outcome::Unfinished { figures });
    }

    #[test]
    fn a_specification_that_cannot_be_read_is_no_violation() {
        let unknown = "Parsing\nError: Parsing or semantic analysis failed.\n";

        assert!(matches!(Outcome::read(unknown), Outcome::Broken { .. }));
        assert!(matches!(
            Outcome::read("Could not reserve enough space"),
            Outcome::Broken { .. }
        ));
    }
}
