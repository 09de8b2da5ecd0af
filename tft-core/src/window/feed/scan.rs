//! One pass over the text before the parser sees it: nesting, and numbers that JSON does not have.
//!
//! The parser skips over values without a limit on their depth, and gives up on the whole body at a bare
//! `NaN`; both are settled here.

use std::borrow::Cow;

use super::FeedError;

/// Numbers that Python and others write although JSON has no such thing.
const NON_FINITE: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// Follows whether a byte belongs to a string.
#[derive(Default)]
struct Strings {
    inside: bool,
    escaped: bool,
}

impl Strings {
    /// Moves past a byte; returns whether it stands outside of strings and their quotes.
    fn step(&mut self, byte: u8) -> bool {
        if !self.inside {
            self.inside = byte == b'"';
            return !self.inside;
        }
        if self.escaped {
            self.escaped = false;
        } else {
            self.escaped = byte == b'\\';
            self.inside = byte != b'"';
        }
        false
    }
}

/// Checks the nesting and puts bare non-finite numbers into quotes, so that only their record is refused.
pub(super) fn prepare(text: &str, depth_max: usize) -> Result<Cow<'_, str>, FeedError> {
    let mut strings = Strings::default();
    let mut depth = 0_usize;
    let mut suspicious = false;
    for (at, byte) in text.bytes().enumerate() {
        if strings.step(byte) {
            match byte {
                b'{' | b'[' if depth == depth_max => return Err(FeedError::TooDeep { max: depth_max, at }),
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                b'N' | b'I' => suspicious = true,
                _ => {}
            }
        }
    }
    Ok(if suspicious { Cow::Owned(quote_non_finite(text)) } else { Cow::Borrowed(text) })
}

/// Returns what a raw JSON value should look like in a message: without the quotes put around `NaN`.
pub(super) fn as_sent(raw: &str) -> &str {
    let bare = raw.trim_matches('"');
    if NON_FINITE.contains(&bare) { bare } else { raw }
}

fn quote_non_finite(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 64);
    let mut strings = Strings::default();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let token = NON_FINITE.iter().find(|token| !strings.inside && rest.starts_with(**token));
        let length = if let Some(token) = token {
            quoted.extend(["\"", token, "\""]);
            token.len()
        } else {
            quoted.push(character);
            // No byte of a longer character is a quote or a backslash.
            strings.step(character.try_into().unwrap_or(0));
            character.len_utf8()
        };
        rest = &rest[length..];
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_not_copied() {
        let text = r#"{"a":[1,"NaN","\"Infinity\\",{"b":null}]}"#;
        assert!(matches!(prepare(text, 3).unwrap(), Cow::Borrowed(_)));
        assert!(prepare(text, 2).is_err());
    }

    #[test]
    fn bare_non_finite_numbers_are_quoted_outside_strings_only() {
        let text = r#"{"a":NaN,"é\"NaN":[-Infinity,Infinity,"NaN"]}"#;
        assert_eq!(prepare(text, 9).unwrap(), r#"{"a":"NaN","é\"NaN":["-Infinity","Infinity","NaN"]}"#);
    }
}
