//! The text of matchers, as Alertmanager writes them.
//!
//! Reads in one pass without going back; its work is bounded by the text's length, which is limited.

use std::fmt;
use std::iter::Peekable;
use std::str::CharIndices;

use super::error::NotifyError;
use super::matcher::{MatchOp, Matcher};

/// What is left of a text.
struct Scanner<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

/// Reads one matcher.
pub(super) fn parse(text: &str) -> Result<Matcher, NotifyError> {
    let mut scanner = Scanner::new(text, Matcher::TEXT_LENGTH_MAX)?;
    let matcher = scanner.matcher()?;
    if scanner.peek().is_some() { scanner.refuse("goes on after its value") } else { Ok(matcher) }
}

/// Reads matchers that are separated by commas.
pub(super) fn parse_list(text: &str) -> Result<Vec<Matcher>, NotifyError> {
    let mut scanner = Scanner::new(text, Matcher::COUNT_MAX * Matcher::TEXT_LENGTH_MAX)?;
    let mut matchers = Vec::new();
    let is_braced = scanner.take_if('{');
    while scanner.peek().is_some_and(|next| next != '}') {
        if matchers.len() == Matcher::COUNT_MAX {
            return scanner.refuse("has over 16 parts");
        }
        matchers.push(scanner.matcher()?);
        if !scanner.take_if(',') {
            break;
        }
    }
    if is_braced && !scanner.take_if('}') {
        return scanner.refuse("lacks its closing brace");
    }
    if scanner.peek().is_some() { scanner.refuse("goes on after its end") } else { Ok(matchers) }
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str, length_max: usize) -> Result<Self, NotifyError> {
        let scanner = Self { text, chars: text.char_indices().peekable() };
        if text.len() > length_max { scanner.refuse("is too long") } else { Ok(scanner) }
    }

    fn matcher(&mut self) -> Result<Matcher, NotifyError> {
        let name = self.word()?;
        let Some(op) = self.operator() else { return self.refuse("lacks one of =, !=, =~ and !~") };
        let value = self.word()?;
        Matcher::checked(&name, op, &value)
    }

    fn operator(&mut self) -> Option<MatchOp> {
        self.skip_spaces();
        let mut op = match self.next()? {
            '=' => MatchOp::Equal,
            '!' => MatchOp::NotEqual,
            _ => return None,
        };
        if self.chars.next_if(|&(_, next)| next == '~').is_some() {
            op = if op == MatchOp::Equal { MatchOp::Matches } else { MatchOp::NotMatches };
        } else if op == MatchOp::NotEqual {
            self.chars.next_if(|&(_, next)| next == '=')?;
        }
        Some(op)
    }

    /// Reads a quoted text, or one up to the next character with a meaning; that may be empty.
    fn word(&mut self) -> Result<String, NotifyError> {
        if self.take_if('"') {
            return self.quoted();
        }
        self.skip_spaces();
        let mut word = String::new();
        while let Some(&(_, next)) = self.chars.peek()
            && !is_special(next)
        {
            word.push(next);
            self.next();
        }
        Ok(word)
    }

    fn quoted(&mut self) -> Result<String, NotifyError> {
        let mut word = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(word),
                Some('\\') => match self.next() {
                    Some('n') => word.push('\n'),
                    Some(quoted @ ('"' | '\\')) => word.push(quoted),
                    Some(other) => word.extend(['\\', other]),
                    None => return self.refuse("lacks its closing quote"),
                },
                Some(other) => word.push(other),
                None => return self.refuse("lacks its closing quote"),
            }
        }
    }

    fn take_if(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        if is_there {
            self.next();
        }
        is_there
    }

    /// Skips white space and returns what follows it.
    fn peek(&mut self) -> Option<char> {
        self.skip_spaces();
        self.chars.peek().map(|&(_, next)| next)
    }

    fn skip_spaces(&mut self) {
        while self.chars.next_if(|(_, next)| next.is_whitespace()).is_some() {}
    }

    fn next(&mut self) -> Option<char> {
        self.chars.next().map(|(_, next)| next)
    }

    fn refuse<T>(&self, fault: &'static str) -> Result<T, NotifyError> {
        Err(NotifyError::Matcher { text: crate::time::abbreviate(self.text), fault })
    }
}

/// Writes the text that [`Matcher::parse`] reads as the same matcher.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name().contains(is_special) {
            write!(f, "{}", Quoted(self.name()))?;
        } else {
            f.write_str(self.name())?;
        }
        write!(f, "{}{}", self.op().as_str(), Quoted(self.value()))
    }
}

impl TryFrom<String> for Matcher {
    type Error = crate::error::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Matcher> for String {
    fn from(matcher: Matcher) -> Self {
        matcher.to_string()
    }
}

/// A text in quotes, with what has a meaning there escaped.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                other => write!(f, "{other}")?,
            }
        }
        f.write_str("\"")
    }
}

/// Whether a character ends a text without quotes.
fn is_special(character: char) -> bool {
    character.is_whitespace() || "{}!=~,\\\"'`".contains(character)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error_of(text: &str) -> String {
        crate::error::Error::from(parse(text).unwrap_err()).to_string()
    }

    #[test]
    fn texts_read_as_alertmanager_writes_them() {
        for (text, written) in [
            (r#"severity="critical""#, r#"severity="critical""#),
            ("severity=critical", r#"severity="critical""#),
            (r#"  server =~ "db-.*"  "#, r#"server=~"db-.*""#),
            (r#"server!~"db-\d+""#, r#"server!~"db-\\d+""#),
            (r#"note!="a \"b\"\n\\""#, r#"note!="a \"b\"\n\\""#),
            (r#""odd name"="x""#, r#""odd name"="x""#),
            ("team=", r#"team="""#),
            ("größe=ß", r#"größe="ß""#),
        ] {
            let matcher = parse(text).unwrap();
            assert_eq!(matcher.to_string(), written);
            assert_eq!(parse(written).unwrap(), matcher);
        }
    }

    #[test]
    fn lists_may_stand_in_braces() {
        for text in [r#"{a="b", c=~"d|e",}"#, r#"a="b",c=~"d|e""#, " { a=b , c=~d|e } "] {
            let matchers: Vec<_> = parse_list(text).unwrap().iter().map(Matcher::to_string).collect();
            assert_eq!(matchers, [r#"a="b""#, r#"c=~"d|e""#], "{text}");
        }
        assert!(parse_list("{}").unwrap().is_empty() && parse_list(" ").unwrap().is_empty());
        for text in ["{a=b", "a=b}", "a=b,,c=d", "a=b c=d", "{a=b}x", &"a=b,".repeat(17)] {
            assert!(parse_list(text).is_err(), "{text}");
        }
    }

    #[test]
    fn faults_are_named() {
        insta::assert_snapshot!(error_of("severity"), @"matcher `severity` lacks one of =, !=, =~ and !~");
        insta::assert_snapshot!(error_of("=x"), @"matcher `=x` has a name that is not of 1 to 128 bytes");
        insta::assert_snapshot!(error_of("a=\"b"), @r#"matcher `a="b` lacks its closing quote"#);
        insta::assert_snapshot!(error_of("a=b c"), @"matcher `a=b c` goes on after its value");
        insta::assert_snapshot!(error_of("a=~\"(\""), @"matcher `a=~(` has a pattern that cannot be used: unclosed group");
        insta::assert_snapshot!(error_of("a=~\"a)|(b\""), @"matcher `a=~a)|(b` has a pattern that cannot be used: unopened group");
        assert!(error_of(&format!("a={}", "b".repeat(1025))).ends_with("has a value of over 1024 bytes"));
        assert!(error_of(r#"a=~"(\\w{30}){30}""#).contains("exceeds size limit of 131072 bytes"));
        let deep = error_of(&format!("a=~\"{}{}\"", "(".repeat(40), ")".repeat(40)));
        assert!(deep.contains("cannot be used: exceed the maximum"), "{deep}");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(name in ".{1,20}", value in ".{0,20}", op in 0..2_usize) {
            let op = [MatchOp::Equal, MatchOp::NotEqual][op];
            prop_assume!(name.len() <= Matcher::NAME_LENGTH_MAX);
            let matcher = Matcher::checked(&name, op, &value).unwrap();
            prop_assert_eq!(parse(&matcher.to_string()).unwrap(), matcher.clone());
            let json = serde_json::to_string(&matcher).unwrap();
            prop_assert_eq!(serde_json::from_str::<Matcher>(&json).unwrap(), matcher);
        }

        #[test]
        fn no_text_is_trouble(text in ".{0,60}") {
            let _ = (parse(&text), parse_list(&text));
        }

        #[test]
        fn patterns_are_anchored(value in "[ab]{0,4}") {
            let matcher = parse("x=~\"a|bb\"").unwrap();
            prop_assert_eq!(matcher.matches(&value), value == "a" || value == "bb");
            let opposite = parse("x!~\"a|bb\"").unwrap();
            prop_assert_eq!(opposite.matches(&value), !matcher.matches(&value));
        }
    }
}
