//! Rust source with comments and texts blanked out, and without its tests.
//!
//! Not a parser: it knows comments, string and character literals and braces,
//! which is what the checks need.

/// Lines of `source`, with their numbers, in which comments and the contents of
/// literals are blank.
pub(super) fn lines(source: &str) -> Vec<(usize, String)> {
    let blanked = blank(source);
    let lines = blanked.lines().enumerate();
    lines.map(|(at, line)| (at + 1, line.to_owned())).collect()
}

/// As [`lines`], without the items under `#[cfg(test)]`.
pub(super) fn lines_outside_tests(source: &str) -> Vec<(usize, String)> {
    let mut kept = Vec::new();
    let mut all = lines(source).into_iter();
    while let Some((number, line)) = all.next() {
        if !line.trim_start().starts_with("#[cfg(test)]") {
            kept.push((number, line));
            continue;
        }
        let after = line
            .split_once(']')
            .map_or("", |(_, after)| after)
            .to_owned();
        let mut depth = 0i64;
        let mut entered = false;
        for line in std::iter::once(after).chain(all.by_ref().map(|(_, line)| line)) {
            let opened = line.matches('{').count() as i64;
            depth += opened - line.matches('}').count() as i64;
            entered |= opened > 0;
            let ends = if entered {
                depth <= 0
            } else {
                line.trim_end().ends_with(';')
            };
            if ends {
                break;
            }
        }
    }
    kept
}

/// Whether `word` stands in `line` on its own, not as part of a longer name.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_name) && !after.is_some_and(is_name)
    })
}

fn blank(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let taken = skipped_length(rest, out.chars().next_back());
        if taken == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let skipped = &rest[..taken];
        out.extend(skipped.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[taken..];
    }
    out
}

/// Length of the comment or literal that `rest` begins with; 0 for none.
fn skipped_length(rest: &str, before: Option<char>) -> usize {
    let in_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |at| at + 2);
    }
    if rest.starts_with('"') {
        return quoted_length(rest, '"');
    }
    if rest.starts_with('\'') {
        return character_length(rest);
    }
    let raw = rest.strip_prefix('b').unwrap_or(rest);
    if !in_name && (raw.starts_with("r\"") || raw.starts_with("r#")) {
        return raw_length(raw).map_or(0, |length| length + rest.len() - raw.len());
    }
    0
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// A character literal; 0 for a lifetime, which has no closing quote.
fn character_length(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => quoted_length(rest, '\''),
        Some(_) => match characters.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}

fn raw_length(raw: &str) -> Option<usize> {
    let hashes = raw[1..].chars().take_while(|&c| c == '#').count();
    let body = raw.get(1 + hashes..)?;
    if !body.starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body[1..]
        .find(&end)
        .map_or(body.len(), |at| 1 + at + end.len());
    Some(1 + hashes + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blanked(source: &str) -> Vec<String> {
        lines(source)
            .into_iter()
            .map(|(_, line)| line.trim_end().to_owned())
            .collect()
    }

    #[test]
    fn comments_and_literals_are_blank() {
        assert_eq!(blanked("a(); // tokio\nb();"), ["a();", "b();"]);
        assert_eq!(blanked("a /* x\ny */ b"), ["a", "     b"]);
        assert_eq!(blanked(r#"f("x \" y") + g"#), ["f(        ) + g"]);
        assert_eq!(blanked("f(r#\"a \" b\"#) + g"), ["f(          ) + g"]);
        assert_eq!(blanked(r"f('{', '\'', b)"), ["f(   ,     , b)"]);
    }

    #[test]
    fn a_lifetime_is_no_character() {
        assert_eq!(
            blanked("fn f<'a>(x: &'a str) {}"),
            ["fn f<'a>(x: &'a str) {}"]
        );
    }

    #[test]
    fn items_of_tests_are_left_out() {
        let source = "a();\n#[cfg(test)]\nmod tests {\n    fn f() { b() }\n}\nc();\n#[cfg(test)]\nmod t;\nd();";

        let kept: Vec<_> = lines_outside_tests(source)
            .into_iter()
            .map(|(_, line)| line)
            .collect();

        assert_eq!(kept, ["a();", "c();", "d();"]);
    }

    #[test]
    fn a_word_is_not_found_inside_a_longer_one() {
        assert!(has_word("use tokio::sync", "tokio"));
        assert!(!has_word("use tokio_util::x", "tokio"));
        assert!(!has_word("MyInstantly", "Instant"));
    }
}
