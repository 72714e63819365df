//! JSON as the page needs it: lists, objects and texts that can stand in a script.

use std::fmt::Display;

/// `[a,b,c]` of what is JSON already.
pub(super) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut text = String::from("[");
    for (number, item) in items.into_iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        text += &item.to_string();
    }
    text.push(']');
    text
}

/// An object of fields whose values are JSON already.
pub(super) fn object<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let fields = fields.into_iter();
    let fields: Vec<_> = fields
        .map(|(name, value)| format!("{}:{value}", quoted(name)))
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// Texts as JSON strings.
pub(super) fn quoted_list<T: AsRef<str>>(texts: &[T]) -> String {
    list(texts.iter().map(|text| quoted(text.as_ref())))
}

/// A text as a JSON string. It cannot end the script element that it stands in, nor
/// begin a comment there.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '<' | '\u{2028}' | '\u{2029}' => quoted += &format!("\\u{:04x}", u32::from(c)),
            c if c.is_control() => quoted += &format!("\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_for_json_and_for_html() {
        assert_eq!(quoted("a\"b\\c\n"), r#""a\"b\\c\u000a""#);
        assert_eq!(quoted("</script><!--"), r#""\u003c/script>\u003c!--""#);
        assert_eq!(quoted("é→"), "\"é→\"");
    }

    #[test]
    fn lists_and_objects_nest() {
        let inner = list([1, -1]);

        assert_eq!(list::<u8>([]), "[]");
        assert_eq!(
            object([("a", inner), ("b", quoted("c"))]),
            r#"{"a":[1,-1],"b":"c"}"#
        );
    }
}
