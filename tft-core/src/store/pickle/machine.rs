//! The instructions of a pickle, one after the other: a stack, a memo, and containers that fill up.

use std::collections::HashMap;

use super::bytes::Bytes;
use super::error::PickleError;
use super::globals::{Global, build};
use super::value::{Graph, Object, Value};
use super::{limits, literal, opcode};
use crate::time::abbreviate;

/// Reads a file into a graph and its topmost value.
pub(super) fn parse(file: &[u8]) -> Result<(Graph<'_>, Value), PickleError> {
    let mut machine = Machine::new(file);
    for _ in 0..limits::INSTRUCTIONS_MAX {
        if machine.step()? {
            let result = machine.pop()?;
            if machine.bytes.remaining() > 0 {
                return Err(machine.bytes.damaged("something follows its end"));
            }
            return Ok((machine.graph, result));
        }
    }
    Err(PickleError::TooMany { what: "instructions", max: limits::INSTRUCTIONS_MAX })
}

struct Machine<'a> {
    bytes: Bytes<'a>,
    graph: Graph<'a>,
    stack: Vec<Value>,
    /// How many values lay on the stack when each container that is still open began.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
}

impl<'a> Machine<'a> {
    fn new(file: &'a [u8]) -> Self {
        Self {
            bytes: Bytes::new(file),
            graph: Graph::new(file),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    /// Carries out one instruction; returns whether it was the last.
    fn step(&mut self) -> Result<bool, PickleError> {
        let at = self.bytes.at();
        let instruction = self.bytes.byte()?;
        match instruction {
            opcode::STOP => return Ok(true),
            opcode::NONE => self.push(Value::None)?,
            opcode::NEWTRUE => self.push(Value::Bool(true))?,
            opcode::NEWFALSE => self.push(Value::Bool(false))?,
            opcode::MARK | opcode::POP | opcode::POP_MARK | opcode::DUP => self.arrange(instruction)?,
            opcode::EMPTY_DICT | opcode::EMPTY_LIST | opcode::EMPTY_TUPLE | opcode::EMPTY_SET => {
                self.add(empty(instruction))?;
            }
            opcode::DICT | opcode::LIST | opcode::TUPLE | opcode::FROZENSET => self.collect(instruction)?,
            opcode::TUPLE1 => self.tuple_of(1)?,
            opcode::TUPLE2 => self.tuple_of(2)?,
            opcode::TUPLE3 => self.tuple_of(3)?,
            opcode::APPEND | opcode::APPENDS | opcode::ADDITEMS | opcode::SETITEM | opcode::SETITEMS => {
                self.fill(instruction)?;
            }
            opcode::GET | opcode::BINGET | opcode::LONG_BINGET => self.recall(instruction)?,
            opcode::PUT | opcode::BINPUT | opcode::LONG_BINPUT | opcode::MEMOIZE => {
                self.remember(instruction)?;
            }
            opcode::GLOBAL | opcode::STACK_GLOBAL => self.name(instruction, at)?,
            opcode::REDUCE | opcode::NEWOBJ => self.reduce(at)?,
            opcode::BUILD => {
                let state = self.pop()?;
                let object = self.top()?;
                build(&mut self.graph, object, state, at)?;
            }
            opcode::PROTO => self.check_protocol()?,
            opcode::FRAME => self.check_frame()?,
            _ if opcode::NUMBERS.contains(&instruction) => {
                let number = literal::number(&mut self.bytes, instruction)?;
                self.push(number)?;
            }
            _ if opcode::TEXTS.contains(&instruction) => {
                let text = literal::text(&mut self.bytes, &mut self.graph, instruction)?;
                self.push(text)?;
            }
            _ => return Err(refuse(instruction, at)),
        }
        Ok(false)
    }

    fn push(&mut self, value: Value) -> Result<(), PickleError> {
        if self.stack.len() >= limits::STACK_MAX {
            return Err(PickleError::TooMany { what: "values without a container", max: limits::STACK_MAX });
        }
        self.stack.push(value);
        Ok(())
    }

    fn add(&mut self, object: Object) -> Result<(), PickleError> {
        let value = self.graph.add(object)?;
        self.push(value)
    }

    /// Takes the topmost value, unless it lies before the container that is open.
    fn pop(&mut self) -> Result<Value, PickleError> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    fn top(&self) -> Result<Value, PickleError> {
        let begin = self.marks.last().copied().unwrap_or(0);
        let values = self.stack.get(begin..).unwrap_or_default();
        values.last().copied().ok_or_else(|| self.bytes.damaged("a value is missing"))
    }

    /// Takes the values of the container that is open, in no more memory than they need.
    fn pop_marked(&mut self) -> Result<Vec<Value>, PickleError> {
        let Some(mark) = self.marks.pop() else {
            return Err(self.bytes.damaged("a container has no beginning"));
        };
        Ok(self.stack.drain(mark.min(self.stack.len())..).collect())
    }

    fn arrange(&mut self, instruction: u8) -> Result<(), PickleError> {
        match instruction {
            opcode::MARK if self.marks.len() >= limits::MARKS_MAX => {
                Err(PickleError::TooMany { what: "open containers", max: limits::MARKS_MAX })
            }
            opcode::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            // Python discards the mark if nothing lies above it.
            opcode::POP if self.marks.last() == Some(&self.stack.len()) => self.pop_marked().map(drop),
            opcode::POP => self.pop().map(drop),
            opcode::POP_MARK => self.pop_marked().map(drop),
            _ => {
                let value = self.top()?;
                self.push(value)
            }
        }
    }

    /// Makes a container of the values since the mark.
    fn collect(&mut self, instruction: u8) -> Result<(), PickleError> {
        let values = self.pop_marked()?;
        let object = match instruction {
            opcode::LIST => Object::List(values),
            opcode::TUPLE => Object::Tuple(values.into_boxed_slice()),
            opcode::FROZENSET => Object::Set(values),
            _ => Object::Dict(self.pairs(&values)?),
        };
        self.add(object)
    }

    fn tuple_of(&mut self, count: usize) -> Result<(), PickleError> {
        let begin = self.marks.last().copied().unwrap_or(0);
        let from = self.stack.len().checked_sub(count).filter(|&from| from >= begin);
        let Some(from) = from else { return Err(self.bytes.damaged("a value is missing")) };
        let values = self.stack.drain(from..).collect();
        self.add(Object::Tuple(values))
    }

    /// Adds values to the container below them.
    fn fill(&mut self, instruction: u8) -> Result<(), PickleError> {
        let values = match instruction {
            opcode::APPEND => vec![self.pop()?],
            opcode::SETITEM => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_marked()?,
        };
        let container = self.top()?;
        let mismatch = self.bytes.damaged("values are put into something that does not hold them");
        match (self.graph.object_mut(container), instruction) {
            (Some(Object::List(items)), opcode::APPEND | opcode::APPENDS)
            | (Some(Object::Set(items)), opcode::ADDITEMS) => items.extend(values),
            (Some(Object::Dict(entries)), opcode::SETITEM | opcode::SETITEMS) => {
                let (pairs, rest) = values.as_chunks::<2>();
                if !rest.is_empty() {
                    return Err(self.bytes.damaged(ODD_DICT));
                }
                entries.extend(pairs.iter().map(|&[key, value]| (key, value)));
            }
            _ => return Err(mismatch),
        }
        Ok(())
    }

    fn pairs(&self, values: &[Value]) -> Result<Vec<(Value, Value)>, PickleError> {
        let (pairs, rest) = values.as_chunks::<2>();
        if rest.is_empty() {
            return Ok(pairs.iter().map(|&[key, value]| (key, value)).collect());
        }
        Err(self.bytes.damaged(ODD_DICT))
    }

    fn recall(&mut self, instruction: u8) -> Result<(), PickleError> {
        let key = self.memo_key(instruction == opcode::GET, instruction == opcode::BINGET)?;
        let Some(&value) = self.memo.get(&key) else {
            return Err(self.bytes.damaged("a remembered value does not exist"));
        };
        self.push(value)
    }

    fn remember(&mut self, instruction: u8) -> Result<(), PickleError> {
        let key = match instruction {
            opcode::MEMOIZE => self.memo.len() as u32,
            _ => self.memo_key(instruction == opcode::PUT, instruction == opcode::BINPUT)?,
        };
        let value = self.top()?;
        if self.memo.len() >= limits::MEMO_MAX {
            return Err(PickleError::TooMany { what: "remembered values", max: limits::MEMO_MAX });
        }
        self.memo.insert(key, value);
        Ok(())
    }

    fn memo_key(&mut self, is_line: bool, is_byte: bool) -> Result<u32, PickleError> {
        if is_line {
            let line = self.bytes.ascii_line()?;
            return line.parse().map_err(|_| self.bytes.damaged("a line is not a number"));
        }
        if is_byte { self.bytes.byte().map(u32::from) } else { self.bytes.array().map(u32::from_le_bytes) }
    }

    fn name(&mut self, instruction: u8, at: usize) -> Result<(), PickleError> {
        let found = if instruction == opcode::GLOBAL {
            let (module, name) = (self.bytes.line()?, self.bytes.line()?);
            let texts = std::str::from_utf8(module).ok().zip(std::str::from_utf8(name).ok());
            let Some((module, name)) = texts else { return Err(self.bytes.damaged("a name is not UTF-8")) };
            Global::find(module, name).ok_or_else(|| unlisted(module, name, at))?
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            let texts = self.graph.short_text(module).zip(self.graph.short_text(name));
            let Some((module, name)) = texts else {
                return Err(self.bytes.damaged("a name is not a short text"));
            };
            Global::find(module, name).ok_or_else(|| unlisted(module, name, at))?
        };
        self.push(found)
    }

    fn reduce(&mut self, at: usize) -> Result<(), PickleError> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let Value::Global(callee) = callee else {
            return Err(self.bytes.damaged("something is called that is not a name"));
        };
        let value = callee.reduce(&mut self.graph, arguments, at)?;
        self.push(value)
    }

    fn check_protocol(&mut self) -> Result<(), PickleError> {
        let version = self.bytes.byte()?;
        if version > PROTOCOL_MAX { Err(PickleError::Protocol { version }) } else { Ok(()) }
    }

    /// A frame only says how much may be read at once; it must be there, and is not kept apart.
    fn check_frame(&mut self) -> Result<(), PickleError> {
        let length = self.bytes.length::<8>()?;
        if length > self.bytes.remaining() {
            return Err(self.bytes.damaged("a length goes beyond the end"));
        }
        Ok(())
    }
}

fn empty(instruction: u8) -> Object {
    match instruction {
        opcode::EMPTY_DICT => Object::Dict(Vec::new()),
        opcode::EMPTY_LIST => Object::List(Vec::new()),
        opcode::EMPTY_SET => Object::Set(Vec::new()),
        _ => Object::Tuple(Box::default()),
    }
}

fn unlisted(module: &str, name: &str, at: usize) -> PickleError {
    PickleError::Global { name: abbreviate(&format!("{module}.{name}")), at }
}

/// Says why an instruction is not carried out.
fn refuse(instruction: u8, at: usize) -> PickleError {
    let what = match instruction {
        opcode::INST | opcode::OBJ | opcode::NEWOBJ_EX => "an object of a class",
        opcode::PERSID | opcode::BINPERSID => "an object outside of the file",
        opcode::EXT1 | opcode::EXT2 | opcode::EXT4 => "an object of the extension registry",
        opcode::NEXT_BUFFER | opcode::READONLY_BUFFER => "a buffer outside of the file",
        _ => return PickleError::Damaged { at, reason: "there is no such instruction" },
    };
    PickleError::Refused { what, at }
}

const PROTOCOL_MAX: u8 = 5;
const ODD_DICT: &str = "a key lacks its value";
