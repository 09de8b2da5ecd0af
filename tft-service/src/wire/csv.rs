//! Rows as CSV (RFC 4180) that a spreadsheet shows as text and numbers, and never as a formula.

use std::fmt::Write;

use tft_core::history::{Cell, HistoryRow};

use super::alerts::utc;

/// Writes the line of column names.
pub(crate) fn csv_head<R: HistoryRow>() -> String {
    let names: Vec<_> = R::COLUMNS.iter().map(|column| column.name).collect();
    format!("{}\r\n", names.join(","))
}

/// Adds a line per row.
pub(crate) fn add_csv_rows<R: HistoryRow>(rows: &[R], text: &mut String) {
    for row in rows {
        for (position, cell) in row.cells().iter().enumerate() {
            if position > 0 {
                text.push(',');
            }
            add_cell(cell, text);
        }
        text.push_str("\r\n");
    }
}

/// Numbers are written as they are, also with a sign: a number is no formula.
fn add_cell(cell: &Cell, text: &mut String) {
    // Writing to a string cannot fail.
    let _ = match cell {
        Cell::Number(number) => write!(text, "{number}"),
        Cell::Whole(number) => write!(text, "{number}"),
        Cell::Time(at) => write!(text, "{}", utc(*at)),
        Cell::Text(content) => {
            add_text(content, text);
            Ok(())
        }
        _ => Ok(()),
    };
}

/// Puts an apostrophe before what a spreadsheet would take for a formula (OWASP, CSV injection), and quotes around what
/// has separators.
fn add_text(content: &str, text: &mut String) {
    let is_formula = content.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let apostrophe = if is_formula { "'" } else { "" };
    if content.contains([',', '"', '\r', '\n', ';', '\t', '\'']) || is_formula {
        let _ = write!(text, "\"{apostrophe}{}\"", content.replace('"', "\"\""));
    } else {
        text.push_str(content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_a_formula_and_always_one_cell() {
        let cell = |content: &str| {
            let mut text = String::new();
            add_text(content, &mut text);
            text
        };
        for (content, written) in [
            ("db-1", "db-1"),
            ("=1+1", r#""'=1+1""#),
            ("+1", r#""'+1""#),
            ("-1", r#""'-1""#),
            ("@SUM(A1)", r#""'@SUM(A1)""#),
            ("\t=1", "\"'\t=1\""),
            ("a,b", r#""a,b""#),
            ("say \"no\"", r#""say ""no""""#),
            ("two\nlines", "\"two\nlines\""),
            ("a;=1", r#""a;=1""#),
            ("", ""),
        ] {
            assert_eq!(cell(content), written);
        }
        let mut text = String::new();
        add_cell(&Cell::Number(-1.5), &mut text);
        assert_eq!(text, "-1.5");
    }
}
