//! The names that a pickle may mention, and what they mean as data.
//!
//! A name is looked up in a list and nowhere else: no module is imported and nothing is called. What Python would
//! compute from a name and its arguments is worked out here, for the arguments that Python itself writes.

use super::error::PickleError;
use super::value::{Graph, Object, Value, Zone};
use super::{calendar, numpy};

/// A name on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    /// Protocols 0 to 2 write bytes as text and this.
    Encode,
    Bytes,
    Set,
    /// Only as what a `defaultdict` makes of a new key.
    Factory,
    /// Only to reach `ZoneInfo._unpickle`, as Python writes that in every protocol.
    GetAttr,
    OrderedDict,
    DefaultDict,
    Deque,
    Counter,
    DateTime,
    TimeDelta,
    TimeZone,
    ZoneInfo,
    ZoneInfoUnpickle,
    PytzUtc,
    PytzZone,
    PytzOffset,
    TzUtc,
    TzOffset,
    NumpyScalar,
    NumpyDType,
    Timestamp,
    NotATime,
}

impl Global {
    /// Looks a name up; some stand for a value by themselves.
    pub(super) fn find(module: &str, name: &str) -> Option<Value> {
        if matches!(module, "builtins" | "__builtin__") {
            return Self::of_builtins(name).map(Value::Global);
        }
        Some(Value::Global(match (module, name) {
            ("_codecs", "encode") => Self::Encode,
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("collections", "defaultdict") => Self::DefaultDict,
            ("collections", "deque") => Self::Deque,
            ("collections", "Counter") => Self::Counter,
            ("datetime", "datetime") => Self::DateTime,
            ("datetime", "timedelta") => Self::TimeDelta,
            ("datetime", "timezone") => Self::TimeZone,
            ("zoneinfo", "ZoneInfo") => Self::ZoneInfo,
            ("zoneinfo", "ZoneInfo._unpickle") => Self::ZoneInfoUnpickle,
            ("pytz", "_UTC") => Self::PytzUtc,
            ("pytz", "_p") => Self::PytzZone,
            ("pytz", "FixedOffset") => Self::PytzOffset,
            ("dateutil.tz.tz", "tzutc") => Self::TzUtc,
            ("dateutil.tz.tz", "tzoffset") => Self::TzOffset,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::NumpyScalar,
            ("numpy", "dtype") => Self::NumpyDType,
            ("pandas._libs.tslibs.timestamps", "_unpickle_timestamp" | "Timestamp") => Self::Timestamp,
            ("pandas._libs.tslibs.nattype", "_nat_unpickle" | "__nat_unpickle") => Self::NotATime,
            ("pandas" | "pandas._libs.missing", "NA") => return Some(Value::None),
            _ => return None,
        }))
    }

    fn of_builtins(name: &str) -> Option<Self> {
        Some(match name {
            "bytes" | "bytearray" => Self::Bytes,
            "set" | "frozenset" => Self::Set,
            "int" | "long" | "float" | "str" | "unicode" | "list" | "dict" => Self::Factory,
            "getattr" => Self::GetAttr,
            _ => return None,
        })
    }

    /// Returns the name, for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Encode => "_codecs.encode",
            Self::Bytes => "builtins.bytes",
            Self::Set => "builtins.set",
            Self::Factory => "a builtin type",
            Self::GetAttr => "builtins.getattr",
            Self::OrderedDict => "collections.OrderedDict",
            Self::DefaultDict => "collections.defaultdict",
            Self::Deque => "collections.deque",
            Self::Counter => "collections.Counter",
            Self::DateTime => "datetime.datetime",
            Self::TimeDelta => "datetime.timedelta",
            Self::TimeZone => "datetime.timezone",
            Self::ZoneInfo => "zoneinfo.ZoneInfo",
            Self::ZoneInfoUnpickle => "zoneinfo.ZoneInfo._unpickle",
            Self::PytzUtc => "pytz._UTC",
            Self::PytzZone => "pytz._p",
            Self::PytzOffset => "pytz.FixedOffset",
            Self::TzUtc => "dateutil.tz.tz.tzutc",
            Self::TzOffset => "dateutil.tz.tz.tzoffset",
            Self::NumpyScalar => "numpy.core.multiarray.scalar",
            Self::NumpyDType => "numpy.dtype",
            Self::Timestamp => "pandas.Timestamp",
            Self::NotATime => "pandas.NaT",
        }
    }

    /// Returns what the name means with its arguments, which come as a tuple.
    pub(super) fn reduce(self, graph: &mut Graph<'_>, tuple: Value, at: usize) -> Result<Value, PickleError> {
        let unusual = || PickleError::Arguments { name: self.name(), at };
        let Some(Object::Tuple(arguments)) = graph.object(tuple) else { return Err(unusual()) };
        // Nothing on the list takes more; copied, so that what they mean can be added to the graph.
        let mut copy = [Value::None; ARGUMENTS_MAX];
        let arguments = copy.get_mut(..arguments.len()).map(|copy| {
            copy.copy_from_slice(arguments);
            &*copy
        });
        let arguments = arguments.ok_or_else(unusual)?;
        if let Some(zone) = self.reduce_zone(graph, arguments) {
            return Ok(zone);
        }
        match (self, arguments) {
            (Self::Encode, _) => encode(graph, arguments)?,
            (Self::Bytes, []) => Some(Value::Bytes(graph.keep(&[])?)),
            (Self::Bytes, [bytes @ Value::Bytes(_)]) => Some(*bytes),
            // The list itself: a copy would let a few bytes ask for as much memory as they like.
            (Self::Set, [items]) => graph.items(*items).is_some().then_some(*items),
            (Self::OrderedDict | Self::DefaultDict, [])
            | (Self::DefaultDict, [Value::Global(Self::Factory | Self::Set) | Value::None]) => {
                Some(graph.add(Object::Dict(Vec::new()))?)
            }
            (Self::Counter, [counts]) => graph.dict(*counts).is_some().then_some(*counts),
            (Self::Deque, [items, Value::Int(_) | Value::None] | [items])
                if graph.items(*items).is_some_and(<[_]>::is_empty) =>
            {
                Some(graph.add(Object::List(Vec::new()))?)
            }
            (Self::DateTime, _) => {
                if let [_, Value::Zone(Zone::Named)] = arguments {
                    return Err(PickleError::NamedZone { at });
                }
                calendar::datetime(graph, arguments)
            }
            (Self::TimeDelta, _) => calendar::timedelta(arguments),
            (Self::Timestamp, _) => calendar::timestamp(arguments),
            (Self::NotATime, [Value::None]) => Some(Value::None),
            (Self::NumpyScalar, _) => numpy::scalar(graph, arguments),
            (Self::NumpyDType, _) => match numpy::dtype(graph, arguments) {
                Some(dtype) => Some(graph.add(Object::DType(dtype))?),
                None => None,
            },
            _ => None,
        }
        .ok_or_else(unusual)
    }

    fn reduce_zone(self, graph: &Graph<'_>, arguments: &[Value]) -> Option<Value> {
        match (self, arguments) {
            (Self::TimeZone, _) => calendar::timezone(arguments),
            (Self::GetAttr, &[Value::Global(Self::ZoneInfo), name]) => {
                (graph.short_text(name) == Some("_unpickle")).then_some(Value::Global(Self::ZoneInfoUnpickle))
            }
            (Self::ZoneInfo | Self::ZoneInfoUnpickle, _) => calendar::zoneinfo(graph, arguments),
            (Self::PytzUtc | Self::TzUtc, []) => Some(Value::Zone(Zone::Offset(0))),
            (Self::PytzZone, _) => calendar::pytz_zone(arguments),
            (Self::PytzOffset, _) => calendar::pytz_offset(arguments),
            (Self::TzOffset, _) => calendar::tzoffset(arguments),
            _ => None,
        }
    }
}

/// Takes the state of an object that was made by one of the names; only numpy's types have one.
pub(super) fn build(
    graph: &mut Graph<'_>,
    object: Value,
    state: Value,
    at: usize,
) -> Result<(), PickleError> {
    if !matches!(graph.object(object), Some(Object::DType(_))) {
        return Err(PickleError::Refused { what: "the state of an object", at });
    }
    let arguments = PickleError::Arguments { name: Global::NumpyDType.name(), at };
    numpy::set_state(graph, object, state).ok_or(arguments)
}

/// Reads `encode(text, "latin1")`: each character is a byte.
fn encode(graph: &mut Graph<'_>, arguments: &[Value]) -> Result<Option<Value>, PickleError> {
    let &[Value::Text(text), codec] = arguments else { return Ok(None) };
    if graph.short_text(codec) != Some("latin1") {
        return Ok(None);
    }
    let Ok(text) = std::str::from_utf8(graph.bytes(text)) else { return Ok(None) };
    let bytes: Option<Vec<u8>> = text.chars().map(|character| u8::try_from(character).ok()).collect();
    bytes.map(|bytes| graph.keep(&bytes).map(Value::Bytes)).transpose()
}

/// Most arguments of any name on the list.
const ARGUMENTS_MAX: usize = 4;
