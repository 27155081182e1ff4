//! Parameters: by position or by name, counted and typed as Bitcoin Core does it.

use bitcoin::BlockHash;
use serde_json::Value;

use crate::envelope::{Params, RpcError};

/// The JSON type that a parameter must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    String,
    Bool,
    Object,
    /// The method looks for itself.
    Any,
}

/// A parameter; a name with alternatives separates them by `|`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Param {
    name: &'static str,
    kind: Kind,
    required: bool,
}

pub(super) const fn required(name: &'static str, kind: Kind) -> Param {
    Param {
        name,
        kind,
        required: true,
    }
}

pub(super) const fn optional(name: &'static str, kind: Kind) -> Param {
    Param {
        name,
        kind,
        required: false,
    }
}

impl Param {
    fn answers_to(&self, name: &str) -> bool {
        self.name.split('|').any(|own| own == name)
    }

    fn primary_name(&self) -> &'static str {
        self.name.split('|').next().unwrap_or(self.name)
    }
}

/// Parameters in the method's order; null stands for one that was not given.
#[derive(Debug)]
pub(super) struct Args(Vec<Value>);

/// Brings parameters into order and checks number and types.
pub(super) fn bind(method: &str, spec: &'static [Param], params: Params) -> Result<Args, RpcError> {
    let mut values = match params {
        Params::Positional(values) => values,
        Params::Named(named) => {
            let mut values = vec![Value::Null; spec.len()];
            for (name, value) in named {
                let position = spec
                    .iter()
                    .position(|param| param.answers_to(&name))
                    .ok_or_else(|| {
                        RpcError::new(
                            RpcError::PARAMETER,
                            format!("Unknown named parameter {name}"),
                        )
                    })?;
                values[position] = value;
            }
            while values.last().is_some_and(Value::is_null) {
                values.pop();
            }
            values
        }
    };
    let least = spec.iter().filter(|param| param.required).count();
    if values.len() < least || values.len() > spec.len() {
        return Err(RpcError::new(RpcError::MISC, usage(method, spec)));
    }
    values.resize(spec.len(), Value::Null);
    let mismatches: Vec<String> = spec
        .iter()
        .zip(&values)
        .enumerate()
        .filter_map(|(index, (param, value))| {
            let message = mismatch(param, value)?;
            Some(format!(
                "    \"Position {} ({})\": \"{message}\"",
                index + 1,
                param.primary_name()
            ))
        })
        .collect();
    if mismatches.is_empty() {
        Ok(Args(values))
    } else {
        Err(RpcError::new(
            RpcError::TYPE,
            format!("Wrong type passed:\n{{\n{}\n}}", mismatches.join(",\n")),
        ))
    }
}

fn mismatch(param: &Param, value: &Value) -> Option<String> {
    if value.is_null() && !param.required {
        return None;
    }
    let expected = match param.kind {
        Kind::Number => (value.is_number(), "number"),
        Kind::String => (value.is_string(), "string"),
        Kind::Bool => (value.is_boolean(), "bool"),
        Kind::Object => (value.is_object(), "object"),
        Kind::Any => (true, ""),
    };
    (!expected.0).then(|| {
        format!(
            "JSON value of type {} is not of expected type {}",
            type_name(value),
            expected.1
        )
    })
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// One line where Bitcoin Core prints the method's whole help.
fn usage(method: &str, spec: &[Param]) -> String {
    let mut text = method.to_owned();
    for param in spec {
        let name = param.primary_name();
        let words = if param.required {
            [" ", name, ""]
        } else {
            [" ( ", name, " )"]
        };
        text.extend(words);
    }
    text.push('\n');
    text
}

impl Args {
    pub(super) fn get(&self, index: usize) -> &Value {
        &self.0[index]
    }

    /// A parameter whose type was checked.
    pub(super) fn string(&self, index: usize) -> &str {
        self.0[index].as_str().unwrap_or_default()
    }

    /// A number as the integer it must be.
    pub(super) fn integer(&self, index: usize) -> Result<Option<i64>, RpcError> {
        match &self.0[index] {
            Value::Null => Ok(None),
            value => value
                .as_i64()
                .map(Some)
                .ok_or_else(|| RpcError::new(RpcError::MISC, "JSON integer out of range")),
        }
    }

    pub(super) fn boolean(&self, index: usize) -> Option<bool> {
        self.0[index].as_bool()
    }

    /// A block's hash in display order; `name` is how Bitcoin Core calls it in its complaint.
    pub(super) fn block_hash(&self, index: usize, name: &str) -> Result<BlockHash, RpcError> {
        parse_hash(self.string(index), name)
    }
}

/// Sixty-four hexadecimal digits.
pub(super) fn parse_hash(text: &str, name: &str) -> Result<BlockHash, RpcError> {
    if text.len() != 64 {
        let length = text.len();
        return Err(RpcError::new(
            RpcError::PARAMETER,
            format!("{name} must be of length 64 (not {length}, for '{text}')"),
        ));
    }
    text.parse().map_err(|_| {
        RpcError::new(
            RpcError::PARAMETER,
            format!("{name} must be hexadecimal string (not '{text}')"),
        )
    })
}
