//! JSON-RPC 1.0 and 2.0 as Bitcoin Core understands them: what a call is, and what an answer looks like.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The result of a method: JSON text, so that key order and number formats are the method's own.
pub(crate) type RpcResult = Result<Box<RawValue>, RpcError>;

/// An error object with one of Bitcoin Core's codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RpcError {
    pub(crate) code: i32,
    pub(crate) message: String,
}

impl RpcError {
    /// Anything the method itself went wrong with (`RPC_MISC_ERROR`).
    pub(crate) const MISC: i32 = -1;
    /// A parameter of the wrong JSON type (`RPC_TYPE_ERROR`).
    pub(crate) const TYPE: i32 = -3;
    /// An unknown block or an address that is none (`RPC_INVALID_ADDRESS_OR_KEY`).
    pub(crate) const NOT_FOUND: i32 = -5;
    /// A parameter with an impossible value (`RPC_INVALID_PARAMETER`).
    pub(crate) const PARAMETER: i32 = -8;
    /// Hex that does not decode (`RPC_DESERIALIZATION_ERROR`).
    pub(crate) const DECODE: i32 = -22;
    /// A header or transaction that fails verification (`RPC_VERIFY_ERROR`).
    pub(crate) const VERIFY: i32 = -25;
    /// A transaction that breaks a rule (`RPC_VERIFY_REJECTED`).
    pub(crate) const REJECTED: i32 = -26;
    /// A transaction that is in the chain already (`RPC_VERIFY_ALREADY_IN_UTXO_SET`).
    pub(crate) const ALREADY_IN_CHAIN: i32 = -27;
    /// The node has yet to load its chain (`RPC_IN_WARMUP`).
    pub(crate) const WARM_UP: i32 = -28;
    const INVALID_REQUEST: i32 = -32600;
    const METHOD_NOT_FOUND: i32 = -32601;
    /// The node itself is at fault (`RPC_INTERNAL_ERROR`).
    pub(crate) const INTERNAL: i32 = -32603;
    const PARSE: i32 = -32700;

    pub(crate) fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub(crate) fn method_not_found() -> Self {
        Self::new(Self::METHOD_NOT_FOUND, "Method not found")
    }

    pub(crate) fn parse_error() -> Self {
        Self::new(Self::PARSE, "Parse error")
    }

    pub(crate) fn top_level() -> Self {
        Self::new(Self::PARSE, "Top-level object parse error")
    }

    fn invalid_request(message: &str) -> Self {
        Self::new(Self::INVALID_REQUEST, message)
    }

    /// The HTTP status that a JSON-RPC 1.0 error travels with.
    pub(crate) fn http_status(&self) -> u16 {
        match self.code {
            Self::INVALID_REQUEST => 400,
            Self::METHOD_NOT_FOUND => 404,
            _ => 500,
        }
    }
}

/// The two shapes of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// No `jsonrpc` key, or `"1.0"`: `result`, `error` and `id`, all three, and errors change the HTTP status.
    Legacy,
    /// `"2.0"`: `result` or `error`, always HTTP 200.
    V2,
}

/// By position or by name.
#[derive(Debug)]
pub(crate) enum Params {
    Positional(Vec<Value>),
    Named(Map<String, Value>),
}

/// What to put around an answer.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) version: Version,
    /// `None` where the request had no `id` at all.
    pub(crate) id: Option<Value>,
}

impl Envelope {
    /// For requests that could not be read so far.
    pub(crate) fn unreadable() -> Self {
        Self {
            version: Version::Legacy,
            id: Some(Value::Null),
        }
    }

    /// A JSON-RPC 2.0 request without an id gets no answer.
    pub(crate) fn is_notification(&self) -> bool {
        self.version == Version::V2 && self.id.is_none()
    }

    /// The answer's JSON text, without a newline.
    pub(crate) fn wrap(&self, outcome: &RpcResult) -> String {
        let result = match outcome {
            Ok(result) => Some(result.get()),
            Err(_) => None,
        };
        let error = match outcome {
            Ok(_) => None,
            // Serialising two plain fields cannot fail.
            Err(error) => Some(serde_json::to_string(error).unwrap_or_default()),
        };
        let mut text = String::with_capacity(64 + result.map_or(128, str::len));
        match self.version {
            Version::Legacy => {
                text.push_str("{\"result\":");
                text.push_str(result.unwrap_or("null"));
                text.push_str(",\"error\":");
                text.push_str(error.as_deref().unwrap_or("null"));
            }
            Version::V2 => {
                text.push_str("{\"jsonrpc\":\"2.0\",");
                match (&result, &error) {
                    (Some(result), _) => {
                        text.push_str("\"result\":");
                        text.push_str(result);
                    }
                    (None, error) => {
                        text.push_str("\"error\":");
                        text.push_str(error.as_deref().unwrap_or("null"));
                    }
                }
            }
        }
        if let Some(id) = &self.id {
            text.push_str(",\"id\":");
            text.push_str(&id.to_string());
        }
        text.push('}');
        text
    }
}

/// A call that could be read.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) params: Params,
}

/// Reads one request object; the envelope is known even where the call is not.
pub(crate) fn read_call(request: Value) -> (Envelope, Result<Call, RpcError>) {
    let Value::Object(mut request) = request else {
        return (
            Envelope::unreadable(),
            Err(RpcError::invalid_request("Invalid Request object")),
        );
    };
    let mut envelope = Envelope {
        version: Version::Legacy,
        id: request.remove("id"),
    };
    match request.get("jsonrpc") {
        None | Some(Value::Null) => {}
        Some(Value::String(version)) if version == "1.0" => {}
        Some(Value::String(version)) if version == "2.0" => envelope.version = Version::V2,
        Some(Value::String(_)) => {
            return (
                envelope,
                Err(RpcError::invalid_request("JSON-RPC version not supported")),
            );
        }
        Some(_) => {
            return (
                envelope,
                Err(RpcError::invalid_request("jsonrpc field must be a string")),
            );
        }
    }
    let method = match request.remove("method") {
        None | Some(Value::Null) => Err(RpcError::invalid_request("Missing method")),
        Some(Value::String(method)) => Ok(method),
        Some(_) => Err(RpcError::invalid_request("Method must be a string")),
    };
    let call = method.and_then(|method| {
        let params = match request.remove("params") {
            None | Some(Value::Null) => Params::Positional(Vec::new()),
            Some(Value::Array(params)) => Params::Positional(params),
            Some(Value::Object(params)) => Params::Named(params),
            Some(_) => {
                return Err(RpcError::invalid_request(
                    "Params must be an array or object",
                ));
            }
        };
        Ok(Call { method, params })
    });
    (envelope, call)
}
