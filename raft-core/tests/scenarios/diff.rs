//! What differs between two texts, line by line.

/// Lines that surround a difference.
const CONTEXT: usize = 4;

/// One line of the comparison.
struct Line<'a> {
    /// ` ` in both, `-` expected only, `+` got only.
    sign: char,
    text: &'a str,
}

/// The differing lines with some around them, `-` for expected and `+` for got.
pub(crate) fn diff(expected: &str, got: &str) -> String {
    let lines = compare(
        &expected.lines().collect::<Vec<_>>(),
        &got.lines().collect::<Vec<_>>(),
    );
    let is_near = |at: usize| {
        let from = at.saturating_sub(CONTEXT);
        let to = (at + CONTEXT + 1).min(lines.len());
        lines[from..to].iter().any(|line| line.sign != ' ')
    };
    let mut text = String::new();
    let mut skipped = false;
    for (at, line) in lines.iter().enumerate() {
        if is_near(at) {
            if std::mem::take(&mut skipped) {
                text.push_str("  ...\n");
            }
            text.push_str(format!("{} {}", line.sign, line.text).trim_end());
            text.push('\n');
        } else {
            skipped = true;
        }
    }
    text
}

/// Walks along a longest common subsequence.
fn compare<'a>(expected: &[&'a str], got: &[&'a str]) -> Vec<Line<'a>> {
    let common = common_lengths(expected, got);
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < expected.len() || j < got.len() {
        let (sign, text) = if i < expected.len() && j < got.len() && expected[i] == got[j] {
            (' ', expected[i])
        } else if i < expected.len() && (j == got.len() || common[i + 1][j] >= common[i][j + 1]) {
            ('-', expected[i])
        } else {
            ('+', got[j])
        };
        i += usize::from(sign != '+');
        j += usize::from(sign != '-');
        lines.push(Line { sign, text });
    }
    lines
}

/// How many lines `expected[i..]` and `got[j..]` share in order, by `[i][j]`.
fn common_lengths(expected: &[&str], got: &[&str]) -> Vec<Vec<usize>> {
    let mut common = vec![vec![0; got.len() + 1]; expected.len() + 1];
    for i in (0..expected.len()).rev() {
        for j in (0..got.len()).rev() {
            common[i][j] = if expected[i] == got[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    common
}

#[test]
fn a_changed_line_shows_both_ways() {
    assert_eq!(diff("a\nb\nc", "a\nx\nc"), "  a\n- b\n+ x\n  c\n");
}

#[test]
fn lines_far_from_a_change_are_left_out() {
    let long: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let mut other = long.clone();
    other[19] = "end".to_owned();

    assert_eq!(
        diff(&long.join("\n"), &other.join("\n")),
        "  ...\n  15\n  16\n  17\n  18\n- 19\n+ end\n"
    );
}
