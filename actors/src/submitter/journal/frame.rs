//! How records lie in a file: a file header, then frames; and how a damaged file is read.

use std::ops::Range;

/// First bytes of every journal file.
pub(super) const MAGIC: [u8; 8] = *b"sigcjrnl";
/// Version of the format described in the [module](super) documentation.
pub(super) const VERSION: u16 = 1;
/// Length of the file header.
pub(super) const FILE_HEADER: usize = 32;
/// Length of a frame's head, before its payload.
pub(super) const FRAME_HEAD: usize = 20;
/// First bytes of every frame: where reading resumes behind damage.
pub(super) const MARKER: [u8; 4] = [0xf1, b'S', b'C', b'R'];
/// No payload is longer: a serialised block is at most 4,000,000 bytes.
pub(super) const MAX_PAYLOAD: usize = 16 << 20;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Stream {
    /// Found blocks, answers, ends: small records, fsynced before a block is sent.
    Blocks,
    /// Transactions of jobs: large records, written when a job is made.
    Jobs,
}

impl Stream {
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Blocks => "blocks-",
            Self::Jobs => "jobs-",
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Blocks => b'B',
            Self::Jobs => b'J',
        }
    }
}

/// The header of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) stream: Stream,
    pub(super) number: u64,
    /// Mixed into every checksum of the file, so that transactions which imitate a frame, or bytes
    /// of an older file in reused sectors, are never taken for records.
    pub(super) salt: u64,
}

/// Why a file is not a journal file that this program can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// Shorter than a file header: created, and cut off by a crash before it held anything.
    Short,
    /// Other first bytes, another stream, or a wrong checksum.
    Foreign,
    /// A format of a later version of this program.
    Newer(u16),
}

impl FileHeader {
    pub(super) fn encode(&self) -> [u8; FILE_HEADER] {
        let mut out = [0; FILE_HEADER];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        out[10] = self.stream.code();
        out[12..20].copy_from_slice(&self.number.to_le_bytes());
        out[20..28].copy_from_slice(&self.salt.to_le_bytes());
        let sum = crc32c::crc32c(&out[..28]);
        out[28..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8], stream: Stream) -> Result<Self, HeaderFault> {
        let Some(head) = bytes.first_chunk::<FILE_HEADER>() else {
            return Err(HeaderFault::Short);
        };
        if head[0..8] != MAGIC || le_u32(&head[28..]) != crc32c::crc32c(&head[..28]) {
            return Err(HeaderFault::Foreign);
        }
        let version = u16::from_le_bytes([head[8], head[9]]);
        if version > VERSION {
            return Err(HeaderFault::Newer(version));
        }
        if version == 0 || head[10] != stream.code() {
            return Err(HeaderFault::Foreign);
        }
        Ok(Self {
            stream,
            number: le_u64(&head[12..]),
            salt: le_u64(&head[20..]),
        })
    }
}

/// Appends one frame to `out`.
///
/// # Panics
/// If the payload is longer than [`MAX_PAYLOAD`], which no block's parts can be.
pub(super) fn encode_frame(out: &mut Vec<u8>, salt: u64, kind: u8, payload: &[u8]) {
    assert!(
        payload.len() <= MAX_PAYLOAD,
        "a journal record of {} bytes",
        payload.len()
    );
    let mut head = [0; FRAME_HEAD];
    head[0..4].copy_from_slice(&MARKER);
    head[4] = kind;
    head[8..12].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    head[12..16].copy_from_slice(&checksum(salt, payload).to_le_bytes());
    let sum = checksum(salt, &head[..16]);
    head[16..].copy_from_slice(&sum.to_le_bytes());
    out.reserve(FRAME_HEAD + payload.len());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
}

/// A piece of a file, as [`scan`] sees it. Offsets count from the start of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A frame whose checksums are right.
    Frame {
        kind: u8,
        payload: &'a [u8],
        at: Range<usize>,
    },
    /// Bytes that are no frame, with a good frame somewhere behind them.
    Damage(Range<usize>),
    /// Bytes at the end that are no frame, with none behind them: what a crash tears off.
    Torn(Range<usize>),
    /// Zeros at the end: space that a writer reserved and did not use.
    Free(Range<usize>),
}

/// Reads a file's frames, skipping what is damaged. Never panics, whatever the bytes.
pub(super) fn scan(file: &[u8], salt: u64) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut at = FILE_HEADER;
    let mut bad_from = None;
    while at < file.len() {
        let Some((kind, payload, end)) = frame_at(file, at, salt) else {
            bad_from.get_or_insert(at);
            at = next_marker(file, at + 1).unwrap_or(file.len());
            continue;
        };
        if let Some(start) = bad_from.take() {
            pieces.push(Piece::Damage(start..at));
        }
        pieces.push(Piece::Frame {
            kind,
            payload,
            at: at..end,
        });
        at = end;
    }
    if let Some(start) = bad_from {
        let at = start..file.len();
        let is_free = file[at.clone()].iter().all(|byte| *byte == 0);
        pieces.push(if is_free {
            Piece::Free(at)
        } else {
            Piece::Torn(at)
        });
    }
    pieces
}

fn frame_at(file: &[u8], at: usize, salt: u64) -> Option<(u8, &[u8], usize)> {
    let rest = file.get(at..)?;
    let head = rest.first_chunk::<FRAME_HEAD>()?;
    if head[0..4] != MARKER || le_u32(&head[16..]) != checksum(salt, &head[..16]) {
        return None;
    }
    let length = le_u32(&head[8..]) as usize;
    if length > MAX_PAYLOAD {
        return None;
    }
    let payload = rest.get(FRAME_HEAD..FRAME_HEAD + length)?;
    (le_u32(&head[12..]) == checksum(salt, payload)).then_some((
        head[4],
        payload,
        at + FRAME_HEAD + length,
    ))
}

fn next_marker(file: &[u8], from: usize) -> Option<usize> {
    let rest = file.get(from..)?;
    rest.windows(MARKER.len())
        .position(|w| w == MARKER)
        .map(|i| from + i)
}

fn checksum(salt: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), bytes)
}

fn le_u32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |b| u32::from_le_bytes(*b))
}

fn le_u64(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |b| u64::from_le_bytes(*b))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const SALT: u64 = 0x1122_3344_5566_7788;

    fn file_of(payloads: &[Vec<u8>]) -> Vec<u8> {
        let header = FileHeader {
            stream: Stream::Blocks,
            number: 7,
            salt: SALT,
        };
        let mut file = header.encode().to_vec();
        for (i, payload) in payloads.iter().enumerate() {
            encode_frame(&mut file, SALT, i as u8, payload);
        }
        file
    }

    fn payloads_in(file: &[u8]) -> Vec<(u8, Vec<u8>)> {
        scan(file, SALT)
            .into_iter()
            .filter_map(|piece| match piece {
                Piece::Frame { kind, payload, .. } => Some((kind, payload.to_vec())),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_header_of_another_stream_a_newer_version_or_other_bytes_is_refused() {
        let header = FileHeader {
            stream: Stream::Jobs,
            number: 3,
            salt: 9,
        };
        let good = header.encode();
        assert_eq!(FileHeader::decode(&good, Stream::Jobs), Ok(header));
        assert_eq!(
            FileHeader::decode(&good, Stream::Blocks),
            Err(HeaderFault::Foreign)
        );
        assert_eq!(
            FileHeader::decode(&good[..31], Stream::Jobs),
            Err(HeaderFault::Short)
        );
        let mut newer = good;
        newer[8] = 2;
        let sum = crc32c::crc32c(&newer[..28]);
        newer[28..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(
            FileHeader::decode(&newer, Stream::Jobs),
            Err(HeaderFault::Newer(2))
        );
        for bit in 0..FILE_HEADER * 8 {
            let mut flipped = good;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                FileHeader::decode(&flipped, Stream::Jobs),
                Err(HeaderFault::Foreign),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_file_cut_at_any_byte_loses_only_the_record_that_was_cut() {
        let payloads: Vec<Vec<u8>> = (0..5usize).map(|i| vec![i as u8; i * 9]).collect();
        let file = file_of(&payloads);
        let mut ends = vec![FILE_HEADER];
        for payload in &payloads {
            ends.push(ends.last().unwrap() + FRAME_HEAD + payload.len());
        }
        for cut in FILE_HEADER..=file.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            let pieces = scan(&file[..cut], SALT);
            assert_eq!(payloads_in(&file[..cut]).len(), whole, "cut at {cut}");
            let torn = (ends[whole] < cut).then(|| Piece::Torn(ends[whole]..cut));
            assert_eq!(pieces.get(whole), torn.as_ref(), "cut at {cut}");
        }
    }

    #[test]
    fn zeros_at_the_end_are_unused_space_and_no_damage() {
        let mut file = file_of(&[b"record".to_vec()]);
        let end = file.len();
        file.resize(end + 5000, 0);
        assert_eq!(scan(&file, SALT)[1..], [Piece::Free(end..end + 5000)]);
        file[end] = 1;
        assert_eq!(scan(&file, SALT)[1..], [Piece::Torn(end..end + 5000)]);
    }

    #[test]
    fn a_frame_inside_a_payload_is_not_read_even_when_its_carrier_is_damaged() {
        let mut imitation = Vec::new();
        encode_frame(
            &mut imitation,
            SALT ^ 1,
            2,
            b"as another file would have it",
        );
        let mut file = file_of(&[imitation, b"next".to_vec()]);
        file[FILE_HEADER + 9] ^= 0x40;
        assert_eq!(payloads_in(&file), [(1, b"next".to_vec())]);
    }

    proptest! {
        #[test]
        fn random_records_come_back(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20)) {
            let expected: Vec<_> =
                payloads.iter().enumerate().map(|(i, p)| (i as u8, p.clone())).collect();
            prop_assert_eq!(payloads_in(&file_of(&payloads)), expected);
        }

        #[test]
        fn a_flipped_bit_loses_no_other_record(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..8),
            position in any::<prop::sample::Index>(),
            bit in 0..8u8,
        ) {
            let mut file = file_of(&payloads);
            let at = FILE_HEADER + position.index(file.len() - FILE_HEADER);
            file[at] ^= 1 << bit;
            let mut expected: Vec<_> =
                payloads.iter().enumerate().map(|(i, p)| (i as u8, p.clone())).collect();
            let mut end = FILE_HEADER;
            let hit = payloads.iter().position(|p| { end += FRAME_HEAD + p.len(); at < end }).unwrap();
            expected.remove(hit);
            prop_assert_eq!(payloads_in(&file), expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let covered: usize = scan(&bytes, SALT).iter().map(|piece| match piece {
                Piece::Frame { at, .. } | Piece::Damage(at) | Piece::Torn(at) | Piece::Free(at) => at.len(),
            }).sum();
            prop_assert_eq!(covered, bytes.len().saturating_sub(FILE_HEADER));
        }
    }
}
