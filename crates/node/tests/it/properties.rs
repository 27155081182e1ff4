//! Any bytes from a publisher and from an RPC server, over real sockets.

#[path = "../support/properties.rs"]
mod support;

use proptest::prelude::*;

use crate::zmq_publisher::message;

/// Pieces of ZMTP, valid and not, in any order.
fn zmtp() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![0_usize..300, Just(255), Just(256), Just(70_000)];
    let piece = prop_oneof![
        4 => prop::collection::vec(size, 1..5).prop_map(|sizes| {
            let parts: Vec<Vec<u8>> = sizes.iter().map(|size| vec![3; *size]).collect();
            message(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
        }),
        4 => (prop::sample::select(vec!["hashblock", "rawblock", "sequence"]), 30_usize..100, any::<u32>())
            .prop_map(|(topic, size, counter)| {
                message(&[topic.as_bytes(), &vec![b'C'; size], &counter.to_le_bytes()])
            }),
        2 => Just(b"\x04\x07\x04PING\0\0".to_vec()),
        2 => Just(b"\x04\x05\x04PONG".to_vec()),
        1 => Just(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB".to_vec()),
        1 => any::<u64>().prop_map(|length| [&[2][..], &length.to_be_bytes()].concat()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

/// An answer over HTTP, its parts valid and not.
fn http() -> impl Strategy<Value = Vec<u8>> {
    let status = prop_oneof![
        4 => Just("HTTP/1.1 200 OK".to_owned()),
        1 => Just("HTTP/1.0 200 OK".to_owned()),
        1 => Just("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK".to_owned()),
        2 => (0_u32..700).prop_map(|code| format!("HTTP/1.1 {code} X")),
    ];
    let header = prop_oneof![
        Just("Content-Type: application/json".to_owned()),
        any::<u64>().prop_map(|length| format!("Content-Length: {length}")),
        Just("Transfer-Encoding: chunked".to_owned()),
        Just("Connection: close".to_owned()),
        Just("Location: http://127.0.0.1:1/".to_owned()),
        "[ -~]{0,40}",
    ];
    let body = prop_oneof![
        Just(r#"{"result":null,"error":null,"id":$ID}"#.to_owned()),
        Just(
            r#"{"jsonrpc":"2.0","error":{"code":-28,"message":"a\u001b[2Jb\n"},"id":$ID}"#
                .to_owned()
        ),
        Just(r#"{"result":{"chain":1},"id":$ID}"#.to_owned()),
        (0_usize..3000).prop_map(|depth| format!(r#"{{"result":{},"id":$ID}}"#, "[".repeat(depth))),
        "\\PC{0,60}",
    ];
    let noise = prop::collection::vec(any::<u8>(), 0..20);
    (
        status,
        prop::collection::vec(header, 0..4),
        any::<bool>(),
        body,
        noise,
    )
        .prop_map(|(status, mut headers, sized, body, noise)| {
            if sized {
                headers.push(format!("Content-Length: {}", body.len()));
            }
            let head = [&[status][..], &headers].concat().join("\r\n");
            [head.as_bytes(), b"\r\n\r\n", body.as_bytes(), &noise].concat()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_from_a_publisher_end_the_subscriber(stage in 0_u8..3, bytes in zmtp()) {
        support::publisher(&[&[stage][..], &bytes].concat());
    }

    #[test]
    fn no_bytes_from_a_server_end_a_call_badly(bytes in http()) {
        support::http_answer(&bytes);
    }
}
