//! Hashing against `sha2`.

use pow::{Message, sha256d, sha256d_64, sha256d_80, sha256d_many};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn reference(data: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(data)).into()
}

fn bytes<const N: usize>(seed: u64) -> [u8; N] {
    let mut all = [0; N];
    for (i, chunk) in all.chunks_mut(32).enumerate() {
        let digest = reference(&[seed.to_le_bytes(), (i as u64).to_le_bytes()].concat());
        chunk.copy_from_slice(&digest[..chunk.len()]);
    }
    all
}

#[test]
fn known_double_hashes() {
    for (data, digest) in [
        (
            "",
            "5df6e0e2761359d30a8275058e299fcc0381534545f55cf43e41983f5d4c9456",
        ),
        (
            "hello",
            "9595c9df90075148eb06860365df33584b75bff782a510c6cd4883a419833d50",
        ),
    ] {
        assert_eq!(hex::encode(sha256d(data.as_bytes())), digest);
    }
}

#[test]
fn any_length_is_padded_right() {
    for length in 0..300 {
        let data = &bytes::<300>(7)[..length];
        assert_eq!(sha256d(data), reference(data), "{length} bytes");
    }
}

#[test]
fn batches_of_any_size_hash_each_header() {
    for count in (0..40).chain([63, 64, 65, 1000]) {
        let headers: Vec<[u8; 80]> = (0..count).map(bytes).collect();
        let mut digests = vec![[0; 32]; headers.len()];
        sha256d_80(&headers, &mut digests);
        let expected: Vec<_> = headers.iter().map(|header| reference(header)).collect();
        assert!(digests == expected, "{count} headers");
    }
}

#[test]
fn batches_of_any_size_hash_each_pair() {
    for count in (0..40).chain([63, 64, 65, 1000]) {
        let pairs: Vec<[u8; 64]> = (0..count).map(bytes).collect();
        let mut digests = vec![[0; 32]; pairs.len()];
        sha256d_64(&pairs, &mut digests);
        let expected: Vec<_> = pairs.iter().map(|pair| reference(pair)).collect();
        assert!(digests == expected, "{count} pairs");
    }
}

#[test]
fn messages_of_any_number_and_length_are_hashed() {
    let data = bytes::<5_000>(3);
    for count in (0..40).chain([63, 64, 65, 300]) {
        let parts: Vec<&[u8]> = (0..count)
            .map(|n| &data[n..n + n * n * 31 % 4_000])
            .collect();
        let messages: Vec<Message<'_>> = parts.iter().map(|part| Message::from(*part)).collect();
        let mut digests = vec![[0; 32]; count];
        sha256d_many(&messages, &mut digests);
        let expected: Vec<_> = parts.iter().map(|part| reference(part)).collect();
        assert!(digests == expected, "{count} messages");
    }
}

#[test]
#[should_panic(expected = "one digest per message")]
fn messages_without_room_for_their_digests_are_refused() {
    sha256d_many(&[Message::default(); 2], &mut [[0; 32]; 1]);
}

#[test]
#[should_panic(expected = "one digest per header")]
fn headers_without_room_for_their_digests_are_refused() {
    sha256d_80(&[[0; 80]; 2], &mut [[0; 32]; 1]);
}

#[test]
#[should_panic(expected = "one digest per pair")]
fn pairs_without_room_for_their_digests_are_refused() {
    sha256d_64(&[[0; 64]; 1], &mut [[0; 32]; 2]);
}

proptest! {
    #[test]
    fn any_bytes_hash_as_with_sha2(data in prop::collection::vec(any::<u8>(), 0..500)) {
        prop_assert_eq!(sha256d(&data), reference(&data));
    }
}
