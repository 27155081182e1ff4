//! Results as JSON text, with Bitcoin Core's formats for money and numbers.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::envelope::{RpcError, RpcResult};

/// The text of a result. Structs keep the order of their fields.
pub(super) fn result<T: Serialize + ?Sized>(value: &T) -> RpcResult {
    serde_json::value::to_raw_value(value)
        .map_err(|error| RpcError::new(RpcError::INTERNAL, error.to_string()))
}

/// `null`.
pub(super) fn null() -> RpcResult {
    result(&())
}

/// Satoshis, shown as coins with eight decimals: `0.00001410`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coins(pub(super) u64);

impl Serialize for Coins {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (whole, rest) = (self.0 / 100_000_000, self.0 % 100_000_000);
        raw(format!("{whole}.{rest:08}"), serializer)
    }
}

/// A float as Bitcoin Core's library prints it: sixteen digits, and no point where it is whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Float(pub(super) f64);

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && self.0.abs() < 1e15 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            let rounded = format!("{:.15e}", self.0).parse().unwrap_or(self.0);
            serializer.serialize_f64(rounded)
        }
    }
}

fn raw<S: Serializer>(text: String, serializer: S) -> Result<S::Ok, S::Error> {
    RawValue::from_string(text)
        .map_err(serde::ser::Error::custom)?
        .serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_eight_decimals_and_whole_floats_none() {
        let text = |r: RpcResult| r.expect("serialisable").get().to_owned();
        assert_eq!(text(result(&Coins(1_410))), "0.00001410");
        assert_eq!(text(result(&Coins(5_000_000_000))), "50.00000000");
        assert_eq!(text(result(&Float(12.0))), "12");
        assert_eq!(
            text(result(&Float(4.656_542_373_906_924_7e-10))),
            "4.656542373906925e-10"
        );
        assert_eq!(text(null()), "null");
    }
}
