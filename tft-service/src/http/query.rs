//! The query of a request's target.

use super::Refusal;

/// The parameters of a query, decoded; unknown ones are for the caller to ignore.
#[derive(Debug, Default)]
pub(crate) struct Query {
    parameters: Vec<(String, String)>,
}

impl Query {
    /// Most parameters of one query.
    const PARAMETERS_MAX: usize = 32;

    /// Reads the text after the question mark.
    ///
    /// # Errors
    /// [`Refusal::BadRequest`] if it has too many parameters, or an escape that is not UTF-8.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Refusal> {
        let pairs: Vec<_> = text.unwrap_or("").split('&').filter(|pair| !pair.is_empty()).collect();
        if pairs.len() > Self::PARAMETERS_MAX {
            return Err(Refusal::BadRequest(format!(
                "the query has over {} parameters",
                Self::PARAMETERS_MAX
            )));
        }
        let decoded = pairs.into_iter().map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        });
        let parameters = decoded.collect::<Option<_>>();
        let parameters = parameters.ok_or_else(|| Refusal::BadRequest("the query is not UTF-8".into()))?;
        Ok(Self { parameters })
    }

    /// Returns the value of a parameter; the last one where it is repeated, none where it is empty.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns the entries of a parameter that is a list separated by commas; none if it is absent or empty.
    pub(crate) fn list(&self, name: &str) -> Option<Vec<&str>> {
        let entries = self.value(name)?.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        Some(entries.collect())
    }
}

/// Decodes a segment of a path; none if it is not UTF-8.
pub(crate) fn decode_segment(text: &str) -> Option<String> {
    decode(&text.replace('+', "%2B"))
}

/// Decodes `%41` and `+`; a per cent sign without two hexadecimal digits stands for itself.
fn decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%').then(|| hex_pair(bytes.get(at + 1..at + 3)?)).flatten();
        decoded.push(escaped.unwrap_or(if byte == b'+' { b' ' } else { byte }));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).ok()
}

fn hex_pair(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(digits[0])? * 16 + digit(digits[1])?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse(Some("server=a%2Cb,+c&horizon=12&horizon=6&x&empty=&rate=5%")).unwrap();
        assert_eq!(query.list("server").unwrap(), ["a", "b", "c"]);
        assert_eq!(query.value("horizon"), Some("6"));
        assert_eq!(query.value("rate"), Some("5%"));
        assert_eq!((query.value("x"), query.value("empty"), query.list("empty")), (None, None, None));
    }

    #[test]
    fn what_is_not_utf8_or_too_much_is_refused() {
        assert!(Query::parse(Some("a=%ff")).is_err());
        assert!(Query::parse(Some(&"a&".repeat(33))).is_err());
        assert!(Query::parse(None).is_ok());
    }
}
