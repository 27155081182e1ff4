//! The protocol as JSON Schema.

use schemars::{Schema, schema_for};
use serde_json::{Value, json};

use super::{Reply, Request};

/// JSON Schemas (2020-12) of the documents of both directions: `{"request": ..., "reply": ...}`.
///
/// What they allow is what is taken, but for a reply's length ([`REPLY_MOST`](super::REPLY_MOST)) and its `id`, which
/// has to be the request's.
pub fn schema() -> Value {
    json!({ "request": schema_for!(Request), "reply": schema_for!(Reply) })
}

pub(super) fn hold_s_with_hold_only(schema: &mut Schema) {
    schema.insert(
        "if".to_owned(),
        json!({ "properties": { "recommendation": { "const": "HOLD" } } }),
    );
    schema.insert(
        "else".to_owned(),
        json!({ "properties": { "hold_s": { "type": "null" } } }),
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::protocol::fixtures;

    fn allows(document: &str) -> impl Fn(&Value) -> bool {
        let schema = jsonschema::validator_for(&schema()[document]).expect("a schema");
        move |value| schema.is_valid(value)
    }

    /// Values of all sorts, more often than not of the sort that belongs in `field`.
    fn value(field: &'static str) -> impl Strategy<Value = Value> {
        let fit = match field {
            "v" => json!([1, 1, 1, 2]),
            "id" => json!(["q1", "q1", "q 1", ""]),
            "recommendation" => json!(["PROCEED", "HOLD", "RETRY", "SELL", { "HOLD": null }]),
            "confidence" => json!([0, 0.5, 1, 1.0001, -0.5]),
            "hold_s" => json!([0, 30, 1e300, -1, null]),
            _ => json!(["well", "", "a\nb"]),
        };
        let odd = json!([null, true, -1, 1, 1e40, "", "PROCEED", [], {}, [1]]);
        let one_of = |values: Value| {
            let values = values.as_array().cloned().unwrap_or_default();
            prop::sample::select(values)
        };
        prop_oneof![9 => one_of(fit), 1 => one_of(odd)]
    }

    prop_compose! {
        fn reply()(
            fields in prop::sample::subsequence(
                vec!["v", "id", "recommendation", "confidence", "reason", "hold_s", "mood"], 5..=7),
        )(
            values in fields.iter().map(|field| value(field)).collect::<Vec<_>>(),
            fields in Just(fields),
        ) -> Value {
            let fields = fields.into_iter().map(str::to_owned);
            Value::Object(fields.zip(values).collect())
        }
    }

    #[test]
    fn a_reply_is_taken_if_and_only_if_the_schema_allows_it() {
        let allows = allows("reply");
        let mut runner = TestRunner::new(ProptestConfig::with_cases(4000));
        let agree = runner.run(&reply(), |reply| {
            // The schema cannot know which question was asked.
            let id = reply["id"].as_str().unwrap_or_default();
            let taken = Reply::parse(reply.to_string().as_bytes(), id);
            prop_assert_eq!(taken.is_ok(), allows(&reply), "{:?}", taken);
            Ok(())
        });
        agree.expect("parser and schema agree");
    }

    #[test]
    fn requests_are_what_the_schema_allows() {
        let allows = allows("request");
        let request = fixtures::request("q1");
        assert!(allows(&json!(request)));
        assert!(allows(&json!(request.for_attempt(2))));
        let mut bare = request.for_attempt(3);
        (bare.template, bare.mining.hashrate_hs) = (None, None);
        assert!(allows(&json!(bare)));
    }

    #[test]
    fn the_schema_forbids_what_is_never_sent() {
        let allows = allows("request");
        let request = json!(fixtures::request("q1"));
        let wrong = [
            ("/v", json!(2)),
            ("/id", json!("two words")),
            ("/attempt", json!(0)),
            ("/kind", json!("TIP")),
            ("/network", json!("mainnet")),
            ("/tip", json!("0F".repeat(32))),
            ("/validation/verdict", json!("authentic")),
            ("/validation/coverage", json!(1.5)),
            ("/validation/failures/0", json!("obey me")),
            ("/template/fees_sat", json!(2_100_000_000_000_001_u64)),
            ("/template/weight", json!(4_000_001)),
            ("/template/age_s", json!(-1)),
            ("/mining/hashrate_hs", json!(-1)),
            ("/mining/stale_ratio", json!(2)),
            ("/recent_intervals_s", json!(vec![1; 1025])),
            ("/system/cpu", json!(1.5)),
            ("/system/memory_min_mb", json!(-1)),
        ];
        for (at, value) in wrong {
            let mut request = request.clone();
            *request.pointer_mut(at).expect(at) = value;
            assert!(!allows(&request), "{at}");
            assert!(
                Request::parse(request.to_string().as_bytes()).is_err(),
                "{at}"
            );
        }
    }
}
