//! The feed as nearly every client writes it: one list of flat records, in one pass over the text.
//!
//! Owns no rule about records: their fields are read as those of any feed. Whatever is not of this form, such as
//! nested values, escapes or bare `NaN`, and whatever is wrong with the text as a whole, is left to the general
//! parser, which starts anew.

use super::entry::{Draft, Field, Raw, Recent};
use super::{Feed, FeedLimits, number};
use crate::schema::Schema;

/// Parses `{"records":[{…},…]}` of flat records; none if the text has another form or is too large.
pub(super) fn parse(text: &str, schema: &Schema, limits: &FeedLimits) -> Option<Feed> {
    if limits.depth_max < DEPTH {
        return None;
    }
    let mut cursor = Cursor { text, at: 0 };
    cursor.expect(b'{')?;
    if cursor.string()? != "\"records\"" {
        return None;
    }
    cursor.expect(b':')?;
    cursor.expect(b'[')?;
    let mut feed = Feed::with_capacity(0);
    let (mut recent, mut keys) = (Recent::default(), Keys::default());
    let mut count = 0;
    if !cursor.takes(b']') {
        loop {
            if count == limits.records_max {
                return None;
            }
            let mut draft = Draft::new(schema, &mut recent);
            record(&mut cursor, &mut keys, schema, &mut draft)?;
            let (record, unknown_fields) = draft.finish();
            feed.unknown_fields += unknown_fields;
            if count == 0 {
                // The others are about as long as the first.
                feed.reserve((text.len() / cursor.at).min(limits.records_max));
            }
            feed.push(count, record);
            count += 1;
            if !cursor.goes_on(b']')? {
                break;
            }
        }
    }
    cursor.expect(b'}')?;
    cursor.skip_space();
    (cursor.at == text.len()).then_some(feed)
}

fn record<'a>(
    cursor: &mut Cursor<'a>,
    keys: &mut Keys<'a>,
    schema: &Schema,
    draft: &mut Draft<'_, 'a>,
) -> Option<()> {
    cursor.expect(b'{')?;
    keys.next = 0;
    if cursor.takes(b'}') {
        return Some(());
    }
    loop {
        let key = keys.read(cursor, schema)?;
        cursor.expect(b':')?;
        draft.read(key, cursor.value()?);
        if !cursor.goes_on(b'}')? {
            return Some(());
        }
    }
}

/// The keys of the record before: most records have the same in the same order.
#[derive(Default)]
struct Keys<'a> {
    known: Vec<(&'a str, Field)>,
    next: usize,
}

impl<'a> Keys<'a> {
    /// More are looked up one by one.
    const MAX: usize = 256;

    fn read(&mut self, cursor: &mut Cursor<'a>, schema: &Schema) -> Option<(&'a str, Field)> {
        cursor.skip_space();
        let at = self.next;
        self.next += 1;
        if let Some(&(key, field)) = self.known.get(at)
            && cursor.takes_key(key)
        {
            return Some((key, field));
        }
        let key = cursor.string()?;
        let key = &key[1..key.len() - 1];
        let entry = (key, Field::of(key, schema));
        match self.known.get_mut(at) {
            Some(known) => *known = entry,
            None if at < Self::MAX => self.known.push(entry),
            None => {}
        }
        Some(entry)
    }
}

/// A place in the text; whatever it does not find ends the plain form.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    /// Moves past a byte, and the space before it, if it is there.
    fn takes(&mut self, byte: u8) -> bool {
        if self.peek() == Some(byte) {
            self.at += 1;
            return true;
        }
        self.skip_space();
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.takes(byte).then_some(())
    }

    /// Returns whether a comma follows, or else the end of the list or object.
    fn goes_on(&mut self, end: u8) -> Option<bool> {
        if self.takes(b',') {
            return Some(true);
        }
        self.expect(end)?;
        Some(false)
    }

    /// Moves past this key in quotes, if it is there.
    fn takes_key(&mut self, key: &str) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        let is_there = rest.len() > key.len() + 1
            && rest[0] == b'"'
            && rest[key.len() + 1] == b'"'
            && &rest[1..=key.len()] == key.as_bytes();
        if is_there {
            self.at += key.len() + 2;
        }
        is_there
    }

    /// Reads a string without escapes, with its quotes.
    fn string(&mut self) -> Option<&'a str> {
        self.skip_space();
        let start = self.at;
        let inner = self.text.as_bytes()[start..].strip_prefix(b"\"")?;
        let length = inner.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ')?;
        self.at += length + 2;
        (inner[length] == b'"').then(|| &self.text[start..self.at])
    }

    /// Reads a value that is no list and no object, as it stands in the text.
    fn value(&mut self) -> Option<Raw<'a>> {
        self.skip_space();
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let mut number = None;
        match rest.first()? {
            b'"' => return self.string().map(Raw::from),
            b'-' | b'0'..=b'9' => {
                let (length, short) = number::scan(rest)?;
                number = short;
                self.at += length;
            }
            _ => {
                let literal =
                    ["null", "true", "false"].into_iter().find(|word| rest.starts_with(word.as_bytes()))?;
                self.at += literal.len();
            }
        }
        Some(Raw { text: &self.text[start..self.at], number })
    }
}

/// Lists and objects inside each other in the plain form.
const DEPTH: usize = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What can be told of a feed.
    fn told(feed: &Feed) -> String {
        format!(
            "{:?} {:?} {} {:?} {}",
            feed.records, feed.positions, feed.rejected, feed.errors, feed.unknown_fields
        )
    }

    /// Holds the plain form against the general parser; returns whether the text has it.
    fn agrees(text: &str, limits: &FeedLimits) -> bool {
        let schema = Schema::server_metrics();
        let plain = parse(text, &schema, limits);
        if let Some(plain) = &plain {
            let any = Feed::from_any_json(text, &schema, limits).expect("what is plain is a feed");
            assert_eq!(told(plain), told(&any), "{text}");
        }
        plain.is_some()
    }

    const RECORD: &str =
        r#"{"timestamp":"2026-01-05T12:00:00Z","server_name":"ppdb001","status":"OK","cpu_user":25.3}"#;

    #[test]
    fn flat_records_are_plain() {
        let limits = FeedLimits::default();
        for text in [
            r#"{"records":[]}"#.to_owned(),
            " {\n\t\"records\" : [ ] } \r\n".to_owned(),
            format!(r#"{{"records":[{RECORD},{RECORD}]}}"#),
            r#"{"records":[{ "hostname" : "a" , "timestamp" : 1767614400, "mem_used_pct":-0.0, "x":null, "profile":null}]}"#.to_owned(),
            r#"{"records":[{},{"cpu_user":120,"cpu_user":1e400},{"timestamp":true,"état":"é","notes":false}]}"#.to_owned(),
            r#"{"records":[{"server_name":"a","timestamp":1e3,"status":"?","load":1.5E-2},{"load":12345678901234567890}]}"#.to_owned(),
        ] {
            assert!(agrees(&text, &limits), "{text}");
        }
    }

    #[test]
    fn everything_else_is_left_to_the_general_parser() {
        let limits = FeedLimits { records_max: 2, ..FeedLimits::default() };
        for text in [
            format!(r#"{{"records":[{RECORD},{RECORD},{RECORD}]}}"#),
            format!(r#"{{"records":[{RECORD}],"more":1}}"#),
            format!(r#"{{"records":[{RECORD},]}}"#),
            format!(r#"{{"records":[{RECORD}]}}x"#),
            r#"{"records":[{"a\n":1}]}"#.to_owned(),
            r#"{"records":[{"a":[]}]}"#.to_owned(),
            r#"{"records":[{"a":NaN}]}"#.to_owned(),
            r#"{"records":[{"a":01}]}"#.to_owned(),
            r#"{"records":[{"a":1.}]}"#.to_owned(),
            r#"{"records":[{"a":-}]}"#.to_owned(),
            r#"{"records":[{"a":1e}]}"#.to_owned(),
            r#"{"records":[{"a":nul}]}"#.to_owned(),
            r#"{"records":[{"a":truefalse}]}"#.to_owned(),
            "{\"records\":[{\"a\":\"\t\"}]}".to_owned(),
            r#"{"records":[1]}"#.to_owned(),
            r#"{"records":[{"a":"#.to_owned(),
            String::new(),
        ] {
            assert!(!agrees(&text, &limits), "{text}");
        }
        let shallow = FeedLimits { depth_max: 2, ..FeedLimits::default() };
        assert!(!agrees(&format!(r#"{{"records":[{RECORD}]}}"#), &shallow));
    }

    /// A token of a feed, good or bad.
    fn token() -> impl Strategy<Value = String> {
        let tokens = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\"",
            "\\",
            "records",
            "\"timestamp\"",
            "\"server_name\"",
            "\"cpu_user_pct\"",
            "\"cpu_user\"",
            "\"status\"",
            "\"other\"",
            "\"ppdb001\"",
            "\"OK\"",
            "1767614400",
            "-1.5",
            "0",
            "1e2",
            "null",
            "true",
            "NaN",
            "\"é\"",
        ];
        prop::sample::select(tokens.to_vec()).prop_map(str::to_owned)
    }

    proptest! {
        #[test]
        fn damaged_feeds_mean_the_same_in_both_parsers(at in 0_usize..400, removed in 0_usize..12, put in prop::collection::vec(token(), 0..3)) {
            let text = format!(r#"{{"records":[{RECORD},{{"server_name":"b","timestamp":1767614400,"load":1.5}},{RECORD}]}}"#);
            let from = text.floor_char_boundary(at.min(text.len()));
            let to = text.floor_char_boundary((from + removed).min(text.len()));
            let damaged = format!("{}{}{}", &text[..from], put.concat(), &text[to..]);
            agrees(&damaged, &FeedLimits::default());
        }

        #[test]
        fn records_of_any_fields_mean_the_same_in_both_parsers(fields in prop::collection::vec((token(), token()), 0..6)) {
            let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}:{value}")).collect();
            agrees(&format!(r#"{{"records":[{RECORD},{{{}}},{RECORD}]}}"#, fields.join(",")), &FeedLimits::default());
        }
    }
}
