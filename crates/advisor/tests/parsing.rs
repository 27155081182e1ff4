//! Documents that went wrong on their way.

#[path = "support/properties.rs"]
mod properties;

use proptest::prelude::*;

const REPLY: &str = r#"{"v":1,"id":"q1","recommendation":"HOLD","confidence":0.75,"reason":"few \u001b[1m fees\n","hold_s":30}"#;
const REQUEST: &str = r#"{"v":1,"id":"q1","attempt":1,"kind":"tip","network":"regtest","height":7,"tip":"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","validation":{"verdict":"AUTHENTIC","coverage":1,"level":7,"failures":["work"]},"template":{"transactions":1,"fees_sat":2,"weight":1200,"age_s":0.5},"mining":{"hashrate_hs":1e6},"recent_intervals_s":[600,-1],"system":{"cpu":0.5}}"#;

/// A document with some of its bytes changed, taken out or put in.
fn damaged(document: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        prop::sample::select(br#"{}[]",:\0123456789.eE+-nulltruHOLD"#.to_vec()),
        any::<u8>(),
    ];
    let change = (any::<prop::sample::Index>(), 0..3, byte);
    prop::collection::vec(change, 0..6).prop_map(move |changes| {
        let mut bytes = document.as_bytes().to_vec();
        for (at, how, byte) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_comes_as_a_reply_keeps_every_rule_or_is_refused_in_fit_words(raw in damaged(REPLY)) {
        properties::reply(&raw);
    }

    #[test]
    fn whatever_comes_as_a_request_keeps_every_rule_or_is_refused(raw in damaged(REQUEST)) {
        properties::request(&raw);
    }
}

#[test]
fn the_documents_themselves_are_taken() {
    assert!(advisor::protocol::Reply::parse(REPLY.as_bytes(), properties::ID).is_ok());
    assert!(advisor::protocol::Request::parse(REQUEST.as_bytes()).is_ok());
}
