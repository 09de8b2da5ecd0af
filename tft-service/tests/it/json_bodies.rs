//! The grammar of JSON (RFC 8259) in bodies: what is JSON is not refused for its form, and what is not always is.
//!
//! Each text is the value of a field that is ignored, within a record that is good: only its form matters.

use crate::harness::TestServer;

const HEAD: &[u8] =
    br#"{"records":[{"timestamp":"2026-01-05T12:00:00Z","server_name":"ppdb001","load":1,"notes":"#;

fn status_of(server: &TestServer, value: &[u8]) -> u16 {
    server.feed([HEAD, value, b"}]}"].concat()).status
}

fn server() -> TestServer {
    TestServer::with(|config| config.rate_limits.feed = 1000)
}

#[test]
fn every_form_of_json_is_taken() {
    let server = server();
    let nested = format!("{}1{}", "[".repeat(29), "]".repeat(29));
    let long = format!("\"{}\"", "é".repeat(100_000));
    let texts = [
        "0",
        "-0",
        "-0.0",
        "1e0",
        "1E+0",
        "0.1e-5",
        "1e400",
        "-1e-400",
        "123456789012345678901234567890",
        "0.00000000000000000000000000000000000000000000000000000000000000000000001",
        "null",
        "true",
        "false",
        r#""""#,
        r#""\"\\\/\b\f\n\r\t\u0041""#,
        r#""\u0000""#,
        r#""\ud83d\ude00""#,
        "\"\u{7f}\u{2028}\u{ffff}\u{10ffff}\"",
        "[]",
        "[ ]",
        "[[],[[]]]",
        "[null,1,\"1\",{}]",
        "\t[\r\n1 ,\t2\n] ",
        "{}",
        r#"{"":0}"#,
        r#"{"a":{"b":{}}}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"\u0061":1}"#,
        &nested,
        &long,
    ];
    for text in texts {
        assert_eq!(status_of(&server, text.as_bytes()), 200, "{text:.60}");
    }
}

#[test]
fn what_is_no_json_is_refused() {
    let server = server();
    let texts: [&[u8]; 75] = [
        // Numbers
        b"+1",
        b"01",
        b"-01",
        b"00",
        b"1.",
        b".1",
        b"-.1",
        b"1.e1",
        b"1e",
        b"1e+",
        b"1e1.5",
        b"1eE2",
        b"--1",
        b"-",
        b"0x1",
        b"1_000",
        b"1 000",
        b"1,000",
        b"0b1",
        b"-NaN",
        b"nan",
        b"inf",
        b"Inf",
        b"+Infinity",
        b"\xef\xbc\x91",
        b"1a",
        b"1-",
        // Words
        b"nul",
        b"nulll",
        b"True",
        b"TRUE",
        b"truefalse",
        b"undefined",
        b"a",
        b"'a'",
        b"",
        // Strings
        b"\"",
        b"\"a",
        b"\"\\\"",
        b"\"\\a\"",
        b"\"\\x41\"",
        b"\"\\u12\"",
        b"\"\\u12G4\"",
        b"\"\\U0041\"",
        b"\"\\\n\"",
        b"\"a\nb\"",
        b"\"a\tb\"",
        b"\"\0\"",
        b"\"\x1f\"",
        b"\"\xff\"",
        b"\"\xc3\"",
        b"\"\xed\xa0\x80\"",
        b"\"a\"b",
        // Lists
        b"[",
        b"[1",
        b"[1,",
        b"[1,]",
        b"[,1]",
        b"[,]",
        b"[1 2]",
        b"[1:2]",
        b"[1]]",
        b"[1}",
        b"[1]/**/",
        b"[1]#",
        b"[\xa0]",
        b"[\x0c]",
        // Objects
        b"{",
        b"{\"a\"",
        b"{\"a\":",
        b"{\"a\":1,}",
        b"{a:1}",
        b"{1:1}",
        b"{\"a\" 1}",
        b"{\"a\",1}",
    ];
    for text in texts {
        assert_eq!(status_of(&server, text), 400, "{}", String::from_utf8_lossy(text));
    }
    let deep = "[".repeat(200_000);
    assert_eq!(status_of(&server, deep.as_bytes()), 400);
}

#[test]
fn escapes_that_stand_for_no_character_break_nothing() {
    let server = server();
    for text in [r#""\ud800""#, r#""\udc00\ud800""#, r#""\ud800\u0041""#, r#"{"\udfaa":0}"#] {
        let status = status_of(&server, text.as_bytes());
        assert!(matches!(status, 200 | 400 | 422), "{text}: {status}");
    }
    for (encoding, text) in [("UTF-16", "\u{feff}{\"records\":[]}"), ("UTF-16", "{\"records\":[]}")] {
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(server.feed(bytes).status, 400, "{encoding}");
    }
}
