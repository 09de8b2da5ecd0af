//! Whatever a pickle says, reading it is an error or a window: it runs nothing, panics never, and takes neither
//! long nor much memory.

use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tft_core::ErrorKind;

use crate::pickle::{decode, fixture};

fn refusal(bytes: &[u8]) -> String {
    let error = decode(bytes).unwrap_err();
    format!("{:?}: {error}", error.kind())
}

#[test]
fn nothing_is_called() {
    let attacks: [&[u8]; 22] = [
        b"cos\nsystem\n(S'touch /tmp/owned'\ntR.",
        b"cposix\nsystem\n(Vid\ntR.",
        b"csubprocess\nPopen\n(S'id'\ntR.",
        b"c__builtin__\neval\n(V1\ntR.",
        b"cbuiltins\nexec\n(V1\ntR.",
        b"c__builtin__\n__import__\n(Vos\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.",
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
        b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93(\x8c\x08builtins\x8c\x03str\x93\x8c\x06formattR.",
        b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93\x8c\x08zoneinfo\x8c\x08ZoneInfo\x93\x8c\x08__init__\x86R.",
        b"\x80\x04\x8c\x08zoneinfo\x8c\x10ZoneInfo.__new__\x93.",
        b"(S'id'\nios\nsystem\n.",
        b"(cos\nsystem\nS'id'\no.",
        b"(c__builtin__\nint\nS'1'\no.",
        b"\x80\x02}}b.",
        b"\x80\x02cnumpy\ndtype\n(Vf8\nI00\nI01\ntR}X\x0c\x00\x00\x00__setstate__Ncos\nsystem\nsb.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02\x83\x01\x02.",
        b"\x80\x02\x84\x01\x02\x03\x04.",
        b"Pid\n.",
        b"\x80\x05\x97.",
        b"\x80\x04cbuiltins\nint\n)}\x92.",
    ];
    let refusals: Vec<_> = attacks.iter().map(|attack| refusal(attack)).collect();
    insta::assert_snapshot!(refusals.join("\n"), @r"
    InvalidInput: checkpoint: names `os.system` at byte 0, which is not on the list of plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: names `posix.system` at byte 0, which is not on the list of plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: names `subprocess.Popen` at byte 0, which is not on the list of plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: names `__builtin__.eval` at byte 0, which is not on the list of plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: names `builtins.exec` at byte 0, which is not on the list of plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: names `__builtin__.__import__` at byte 0, which is not on the list of plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: names `os.system` at byte 14, which is not on the list of plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: names `builtins.eval` at byte 18, which is not on the list of plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: has `builtins.getattr` at byte 48 with arguments that Python does not write
    InvalidInput: checkpoint: has `builtins.getattr` at byte 54 with arguments that Python does not write
    InvalidInput: checkpoint: names `zoneinfo.ZoneInfo.__new__` at byte 30, which is not on the list of plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: asks at byte 7 for an object of a class, which is no plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: names `os.system` at byte 1, which is not on the list of plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: asks at byte 23 for an object of a class, which is no plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: asks at byte 4 for the state of an object, which is no plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: names `os.system` at byte 49, which is not on the list of plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: asks at byte 2 for an object of the extension registry, which is no plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: asks at byte 2 for an object of the extension registry, which is no plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: asks at byte 2 for an object of the extension registry, which is no plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: asks at byte 0 for an object outside of the file, which is no plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: asks at byte 2 for a buffer outside of the file, which is no plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: asks at byte 18 for an object of a class, which is no plain data; nothing in a pickle is ever called
    ");
    assert!(!Path::new("/tmp/owned").exists());
}

#[test]
fn a_name_on_the_list_does_nothing_but_what_python_writes() {
    let calls: [&[u8]; 16] = [
        b"c_codecs\nencode\n(Vabc\nVrot13\ntR.",
        b"c_codecs\nencode\n(V\\u20ac\nVlatin1\ntR.",
        b"cbuiltins\nint\n(I5\ntR.",
        b"cbuiltins\nbytes\n(I99999999\ntR.",
        b"cbuiltins\nset\n(I5\ntR.",
        b"ccollections\ndefaultdict\n(cos\nsystem\ntR.",
        b"ccollections\ndeque\n((lI1\natR.",
        b"cdatetime\ndatetime\n(I2025\nI1\nI1\ntR.",
        b"cdatetime\ndatetime\n(C\x0a\x07\xe9\x0d\x01\x00\x00\x00\x00\x00\x00tR.",
        b"cdatetime\ntimedelta\n(I1\nI86400\nI0\ntR.",
        b"cdatetime\ntimezone\n(cdatetime\ntimedelta\n(I1\nI0\nI0\ntRtR.",
        b"cpandas._libs.tslibs.timestamps\n_unpickle_timestamp\n(I9223372036854775807\nNNI7\ntR.",
        b"cnumpy\ndtype\n(VO8\nI00\nI01\ntR.",
        b"cnumpy\ndtype\n(VU4294967295\nI00\nI01\ntR.",
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(Vf8\nI00\nI01\ntRC\x04abcdtR.",
        b"cdatetime\ndatetime\n((ltR.",
    ];
    let refusals: Vec<_> = calls.iter().map(|call| refusal(call)).collect();
    insta::assert_snapshot!(refusals.join("\n"), @r"
    InvalidInput: checkpoint: has `_codecs.encode` at byte 30 with arguments that Python does not write
    InvalidInput: checkpoint: has `_codecs.encode` at byte 34 with arguments that Python does not write
    InvalidInput: checkpoint: has `a builtin type` at byte 19 with arguments that Python does not write
    InvalidInput: checkpoint: has `builtins.bytes` at byte 28 with arguments that Python does not write
    InvalidInput: checkpoint: has `builtins.set` at byte 19 with arguments that Python does not write
    InvalidInput: checkpoint: names `os.system` at byte 26, which is not on the list of plain data; nothing in a pickle is ever called
    InvalidInput: checkpoint: has `collections.deque` at byte 27 with arguments that Python does not write
    InvalidInput: checkpoint: has `datetime.datetime` at byte 33 with arguments that Python does not write
    InvalidInput: checkpoint: has `datetime.datetime` at byte 33 with arguments that Python does not write
    InvalidInput: checkpoint: has `datetime.timedelta` at byte 35 with arguments that Python does not write
    InvalidInput: checkpoint: has `datetime.timezone` at byte 53 with arguments that Python does not write
    InvalidInput: checkpoint: has `pandas.Timestamp` at byte 80 with arguments that Python does not write
    InvalidInput: checkpoint: has `numpy.dtype` at byte 27 with arguments that Python does not write
    InvalidInput: checkpoint: has `numpy.dtype` at byte 36 with arguments that Python does not write
    InvalidInput: checkpoint: has `numpy.core.multiarray.scalar` at byte 66 with arguments that Python does not write
    InvalidInput: checkpoint: has `datetime.datetime` at byte 23 with arguments that Python does not write
    ");
}

#[test]
fn what_is_no_pickle_says_where() {
    let damaged: [&[u8]; 20] = [
        b"",
        b".",
        b"N",
        b"N.N.",
        b"PAR1",
        b"\xff",
        b"\x80\x06N.",
        b"\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.",
        b"X\xff\xff\xff\xff.",
        b"\x8d\x00\xe4\x0bT\x02\x00\x00\x00.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x96\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x8b\xff\xff\xff\xff.",
        b"\x8c\x01\xff.",
        b"Ione\n.",
        b"V\\u12\n.",
        b"t.",
        b"(Na.",
        b"]N(s.",
        b"h\x05.",
    ];
    let refusals: Vec<_> = damaged.iter().map(|bytes| refusal(bytes)).collect();
    insta::assert_snapshot!(refusals.join("\n"), @r"
    Corrupt: checkpoint: is damaged at byte 0: it ends within an instruction
    Corrupt: checkpoint: is damaged at byte 1: a value is missing
    Corrupt: checkpoint: is damaged at byte 1: it ends within an instruction
    Corrupt: checkpoint: is damaged at byte 2: something follows its end
    InvalidInput: checkpoint: asks at byte 0 for an object outside of the file, which is no plain data; nothing in a pickle is ever called
    Corrupt: checkpoint: is damaged at byte 0: there is no such instruction
    InvalidInput: checkpoint: is pickled with protocol 6, readable are 0 to 5
    Corrupt: checkpoint: is damaged at byte 9: a length goes beyond the end
    Corrupt: checkpoint: is damaged at byte 5: a length goes beyond the end
    Corrupt: checkpoint: is damaged at byte 9: a length goes beyond the end
    Corrupt: checkpoint: is damaged at byte 9: a length goes beyond the end
    Corrupt: checkpoint: is damaged at byte 9: a length goes beyond the end
    Corrupt: checkpoint: is damaged at byte 5: a length goes beyond the end
    Corrupt: checkpoint: is damaged at byte 2: a text is not UTF-8
    Corrupt: checkpoint: is damaged at byte 5: a line is not an integer
    Corrupt: checkpoint: is damaged at byte 1: a text has a bad escape
    Corrupt: checkpoint: is damaged at byte 1: a container has no beginning
    Corrupt: checkpoint: is damaged at byte 3: a value is missing
    Corrupt: checkpoint: is damaged at byte 4: a value is missing
    Corrupt: checkpoint: is damaged at byte 2: a remembered value does not exist
    ");
}

/// Repeats a pattern between a head and a tail.
fn repeated(head: &[u8], pattern: &[u8], times: usize, tail: &[u8]) -> Vec<u8> {
    [head, &pattern.repeat(times), tail].concat()
}

#[test]
fn bombs_are_errors_soon_and_in_little_memory() {
    let text = vec![b'x'; 1 << 20];
    let long_text = [&b"X\x00\x00\x10\x00"[..], &text, b"q\x00"].concat();
    let bombs = [
        ("nested lists", repeated(b"", b"]", 1_000_000, &[&b"a".repeat(999_999)[..], b"."].concat())),
        ("nested tuples", repeated(b")", b"\x85", 3_000_000, b".")),
        ("nested marks", repeated(b"", b"(", 1_000_000, b".")),
        ("nested dicts", repeated(b"}", b"I1\n}", 500_000, &[&b"s".repeat(500_000)[..], b"."].concat())),
        ("a list that holds itself", b"]q\x00h\x00ah\x00a.".to_vec()),
        ("a window that holds itself", b"}q\x00Vrolling_window\n](h\x00h\x00es.".to_vec()),
        ("a row that holds itself", b"}Vrolling_window\n]}q\x00Vtimestamp\nh\x00sas.".to_vec()),
        ("laughs", repeated(b"]q\x00", b"](h\x00h\x00h\x00h\x00eq\x00", 200_000, b".")),
        ("a remembered place far away", b"Nr\xff\xff\xff\xff.".to_vec()),
        ("many remembered", repeated(b"N", b"\x94", 5_000_000, b".")),
        ("many objects", repeated(b"", b"]0", 5_000_000, b"N.")),
        ("many instructions", repeated(b"", b"N0", 9_000_000, b"N.")),
        ("many values", repeated(b"", b"N", 2_000_000, b".")),
        ("a text encoded often", [&long_text[..], &repeated(b"", ENCODE, 1_000, b".")].concat()),
        ("a list as a set often", repeated(&repeated(b"](", b"N", 500_000, b"eq\x00"), SET, 100_000, b".")),
        (
            "containers after a deep stack",
            repeated(&repeated(b"(", b"N", 1_000_000, b"1"), b"(l0", 1_000_000, b"N."),
        ),
        ("a row a million times", repeated(&wide_row(20_000), b"h\x00", 400_000, b"es.")),
        ("a long key in every row", repeated(&keyed_head(&long_text), KEYED_ROW, 100_000, b"es.")),
    ];
    for (name, bomb) in bombs {
        let started = Instant::now();
        let error = decode(&bomb).unwrap_err();
        let took = started.elapsed();
        assert!(took < Duration::from_secs(20), "{name} took {took:?}");
        let kinds = [ErrorKind::Corrupt, ErrorKind::InvalidInput, ErrorKind::LimitExceeded];
        assert!(kinds.contains(&error.kind()), "{name}: {error}");
        assert!(error.to_string().len() < 400, "{name}");
    }
}

const ENCODE: &[u8] = b"c_codecs\nencode\n(h\x00Vlatin1\ntR0";
const SET: &[u8] = b"cbuiltins\nset\n(h\x00tR0";
const KEYED_ROW: &[u8] = b"}(h\x00I1\nVtimestamp\nI1\nVserver_name\nVa\nu";

/// A window that has the same row of so many fields once already.
fn wide_row(fields: usize) -> Vec<u8> {
    let mut bytes = b"}Vrolling_window\n](}(".to_vec();
    for field in 0..fields {
        bytes.extend(format!("Vfield{field}\nI1\n").bytes());
    }
    bytes.extend(b"Vtimestamp\nI1\nVserver_name\nVa\nuq\x00");
    bytes
}

fn keyed_head(long_text: &[u8]) -> Vec<u8> {
    [long_text, b"0}Vrolling_window\n]("].concat()
}

#[test]
fn a_file_cut_short_anywhere_is_an_error() {
    for name in ["protocol_0.pkl", "numpy_2.pkl", "datetime_east_5.pkl", "older_berlin_4.pkl"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        for length in 0..bytes.len() {
            let error = decode(&bytes[..length]).unwrap_err();
            assert!(error.is_corrupt(), "{name} at {length}: {error}");
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_never_panics() {
    for name in ["protocol_0.pkl", "numpy_2.pkl", "datetime_east_5.pkl", "older_numpy_4.pkl"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                drop(decode(&flipped));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn random_instructions_never_panic(
        instructions in prop::collection::vec(prop::sample::select(INSTRUCTIONS), 0..60)
    ) {
        drop(decode(&instructions.concat()));
    }
}

const INSTRUCTIONS: &[&[u8]] = &[
    b"(",
    b"0",
    b"1",
    b"2",
    b"N",
    b"]",
    b"}",
    b")",
    b"l",
    b"t",
    b"d",
    b"a",
    b"e",
    b"s",
    b"u",
    b"b",
    b"R",
    b"\x85",
    b"\x86",
    b"\x87",
    b"\x90",
    b"\x91",
    b"\x81",
    b"\x93",
    b"\x94",
    b"h\x00",
    b"h\x01",
    b"q\x00",
    b"I1\n",
    b"F0.5\n",
    b"Vrolling_window\n",
    b"Vtimestamp\n",
    b"Vserver_name\n",
    b"Va\n",
    b"Vf8\n",
    b"C\x08abcdefgh",
    b"cnumpy\ndtype\n",
    b"cnumpy.core.multiarray\nscalar\n",
    b"cdatetime\ndatetime\n",
    b"cdatetime\ntimedelta\n",
    b"K\x05",
    b".",
    b"Vload\n",
    b"G\x7f\xf0\x00\x00\x00\x00\x00\x00",
    b"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01",
];
