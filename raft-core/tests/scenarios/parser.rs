//! Splits a scenario into prose and commands with their expected output.

/// A piece of a scenario, in the order of the file.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Piece {
    /// A line that is neither command nor output; kept as it is.
    Prose(String),
    /// A line that begins with `> `, without it.
    Command {
        /// What is to be done.
        text: String,
        /// Where it stands, counted from 1.
        line: usize,
    },
}

/// Marks a command.
const MARK: &str = "> ";

/// Output lines begin so.
pub(crate) const INDENT: &str = "  ";

/// The pieces of a scenario, without the output it expects.
pub(crate) fn parse(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut below_command = false;
    for (number, line) in text.lines().enumerate() {
        if let Some(command) = line.strip_prefix(MARK) {
            below_command = true;
            pieces.push(Piece::Command {
                text: command.trim().to_owned(),
                line: number + 1,
            });
        } else if !(below_command && line.starts_with(INDENT)) {
            below_command = false;
            pieces.push(Piece::Prose(line.to_owned()));
        }
    }
    pieces
}

/// A command as it stands in the file.
pub(crate) fn command_line(text: &str) -> String {
    format!("{MARK}{text}")
}

#[test]
fn output_below_a_command_is_left_out_and_other_indented_lines_are_prose() {
    let pieces = parse("# Title\n\n  as is\n> settle\n  n1: leads t1\n\nmore");

    let command = Piece::Command {
        text: "settle".to_owned(),
        line: 4,
    };
    let prose = |text: &str| Piece::Prose(text.to_owned());
    assert_eq!(
        pieces,
        [
            prose("# Title"),
            prose(""),
            prose("  as is"),
            command,
            prose(""),
            prose("more")
        ]
    );
}
