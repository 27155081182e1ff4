//! Where everything is in a raw block: a parser that copies nothing and accepts what Bitcoin Core
//! accepts.

use std::ops::Range;

/// The largest count or length that Bitcoin Core reads.
const MAX_SIZE: u64 = 0x0200_0000;

/// Why bytes are not a block or transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("truncated: {wanted} more bytes needed at byte {at}")]
    Truncated {
        /// Where the missing item starts.
        at: usize,
        /// How many bytes it lacks.
        wanted: usize,
    },
    /// A compact size that is longer than it needs to be.
    #[error("non-canonical compact size at byte {at}")]
    NonCanonicalSize {
        /// Where it starts.
        at: usize,
    },
    /// A compact size over 32 MiB.
    #[error("compact size {size} at byte {at} is over 32 MiB")]
    SizeTooLarge {
        /// Where it starts.
        at: usize,
        /// What it says.
        size: u64,
    },
    /// A witness marker on a transaction of which no input has a witness.
    #[error("superfluous witness record before byte {at}")]
    SuperfluousWitness {
        /// Where the record ends.
        at: usize,
    },
    /// A transaction flag other than that of a witness.
    #[error("unknown transaction flag {flag:#04x} before byte {at}")]
    UnknownFlag {
        /// Where the transaction's lock time starts, or would.
        at: usize,
        /// The flag byte.
        flag: u8,
    },
    /// Bytes after the end.
    #[error("{extra} trailing bytes after byte {at}")]
    TrailingBytes {
        /// Where the block or transaction ends.
        at: usize,
        /// How many bytes follow.
        extra: usize,
    },
}

/// A stretch of the raw bytes.
pub(crate) type Span = Range<u32>;

/// The bytes of a span.
pub(crate) fn bytes<'a>(raw: &'a [u8], span: &Span) -> &'a [u8] {
    &raw[span.start as usize..span.end as usize]
}

#[derive(Clone, Debug)]
pub(crate) struct Input {
    /// Transaction hash and index, 36 bytes.
    pub prevout: u32,
    pub script: Span,
    pub sequence: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// In satoshis; above the supply in what nobody should accept.
    pub value: i64,
    pub script: Span,
}

#[derive(Clone, Debug)]
pub(crate) struct Tx {
    /// Everything, witness included.
    pub whole: Span,
    /// Inputs and outputs: what lies between the version and the witness or lock time.
    pub body: Span,
    pub witness: Option<Span>,
    /// Places in [`Layout::inputs`].
    pub inputs: Span,
    /// Places in [`Layout::outputs`].
    pub outputs: Span,
    pub lock_time: u32,
}

impl Tx {
    pub fn size(&self) -> usize {
        self.whole.len()
    }

    /// Without marker, flag and witness.
    pub fn stripped_size(&self) -> usize {
        4 + self.body.len() + 4
    }

    pub fn weight(&self) -> usize {
        3 * self.stripped_size() + self.size()
    }
}

/// Where the parts of a block, or of one transaction, are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    pub txs: Vec<Tx>,
    pub inputs: Vec<Input>,
    pub outputs: Vec<Output>,
}

impl Layout {
    pub fn inputs_of(&self, tx: &Tx) -> &[Input] {
        &self.inputs[tx.inputs.start as usize..tx.inputs.end as usize]
    }

    pub fn outputs_of(&self, tx: &Tx) -> &[Output] {
        &self.outputs[tx.outputs.start as usize..tx.outputs.end as usize]
    }

    /// A raw block: header, count, transactions, and not a byte more.
    pub fn of_block(raw: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(raw)?;
        reader.take(80)?;
        let count = reader.count(MIN_TX)?;
        let mut layout = Self::with_capacity(count, raw.len());
        for _ in 0..count {
            layout.read_tx(&mut reader)?;
        }
        reader.finish()?;
        Ok(layout)
    }

    /// A raw transaction, and not a byte more.
    pub fn of_transaction(raw: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(raw)?;
        let mut layout = Self::default();
        layout.read_tx(&mut reader)?;
        reader.finish()?;
        Ok(layout)
    }

    fn with_capacity(txs: usize, bytes: usize) -> Self {
        Self {
            txs: Vec::with_capacity(txs),
            // About what real blocks hold; the vectors grow where it is too little.
            inputs: Vec::with_capacity(bytes / 160),
            outputs: Vec::with_capacity(bytes / 160),
        }
    }

    fn read_tx(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let start = reader.at();
        reader.take(4)?;
        let mut body_start = reader.at();
        let first_input = self.inputs.len() as u32;
        let first_output = self.outputs.len() as u32;
        let mut flag = 0;
        let mut inputs = reader.count(MIN_INPUT)?;
        if inputs == 0 {
            // Either a witness marker, or a transaction without inputs, whose outputs are counted
            // next: Core reads the latter as one without outputs.
            flag = reader.u8()?;
            if flag != 0 {
                body_start = reader.at();
                inputs = reader.count(MIN_INPUT)?;
            }
        }
        if inputs > 0 || flag != 0 {
            self.read_inputs(reader, inputs)?;
            self.read_outputs(reader)?;
        }
        let body_end = reader.at();
        let mut witness = None;
        if flag & 1 != 0 {
            let mut items = 0;
            for _ in 0..inputs {
                let count = reader.count(1)?;
                items += count;
                for _ in 0..count {
                    let length = reader.count(1)?;
                    reader.take(length)?;
                }
            }
            if items == 0 {
                let at = reader.at() as usize;
                return Err(DecodeError::SuperfluousWitness { at });
            }
            witness = Some(body_end..reader.at());
        }
        if flag & !1 != 0 {
            let at = reader.at() as usize;
            return Err(DecodeError::UnknownFlag { at, flag });
        }
        let lock_time = reader.u32()?;
        self.txs.push(Tx {
            whole: start..reader.at(),
            body: body_start..body_end,
            witness,
            inputs: first_input..self.inputs.len() as u32,
            outputs: first_output..self.outputs.len() as u32,
            lock_time,
        });
        Ok(())
    }

    fn read_inputs(&mut self, reader: &mut Reader<'_>, count: usize) -> Result<(), DecodeError> {
        for _ in 0..count {
            let prevout = reader.at();
            reader.take(36)?;
            let script = reader.script()?;
            let sequence = reader.u32()?;
            self.inputs.push(Input {
                prevout,
                script,
                sequence,
            });
        }
        Ok(())
    }

    fn read_outputs(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        for _ in 0..reader.count(MIN_OUTPUT)? {
            let value = reader.u64()?.cast_signed();
            let script = reader.script()?;
            self.outputs.push(Output { value, script });
        }
        Ok(())
    }
}

/// The least bytes that an item of each kind takes: a count that cannot fit is refused before
/// anything is reserved for it.
const MIN_TX: usize = 10;
const MIN_INPUT: usize = 41;
const MIN_OUTPUT: usize = 9;

/// A place in bytes that are read from front to back.
pub(crate) struct Reader<'a> {
    raw: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(raw: &'a [u8]) -> Result<Self, DecodeError> {
        let size = raw.len() as u64;
        if size > MAX_SIZE {
            return Err(DecodeError::SizeTooLarge { at: 0, size });
        }
        Ok(Self { raw, at: 0 })
    }

    fn at(&self) -> u32 {
        // `new` has bounded the length.
        self.at as u32
    }

    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let left = self.raw.len() - self.at;
        if length > left {
            return Err(DecodeError::Truncated {
                at: self.at,
                wanted: length - left,
            });
        }
        let taken = &self.raw[self.at..self.at + length];
        self.at += length;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        Ok(self.take(N)?.try_into().expect("N bytes were taken"))
    }

    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    #[inline]
    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    #[inline]
    fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A compact size, in its shortest form.
    #[inline]
    pub fn compact_size(&mut self) -> Result<u64, DecodeError> {
        let at = self.at;
        let (size, least) = match self.u8()? {
            0xfd => (u64::from(u16::from_le_bytes(self.array()?)), 0xfd),
            0xfe => (u64::from(self.u32()?), 0x1_0000),
            0xff => (self.u64()?, 0x1_0000_0000),
            small => return Ok(u64::from(small)),
        };
        if size < least {
            Err(DecodeError::NonCanonicalSize { at })
        } else if size > MAX_SIZE {
            Err(DecodeError::SizeTooLarge { at, size })
        } else {
            Ok(size)
        }
    }

    /// A number of items that take at least `each` bytes, and that the rest can therefore hold.
    #[inline]
    pub fn count(&mut self, each: usize) -> Result<usize, DecodeError> {
        let count = self.compact_size()? as usize;
        let wanted = count * each;
        let left = self.raw.len() - self.at;
        if wanted > left {
            return Err(DecodeError::Truncated {
                at: self.at,
                wanted: wanted - left,
            });
        }
        Ok(count)
    }

    #[inline]
    fn script(&mut self) -> Result<Span, DecodeError> {
        let length = self.count(1)?;
        let start = self.at();
        self.take(length)?;
        Ok(start..self.at())
    }

    fn finish(&self) -> Result<(), DecodeError> {
        match self.raw.len() - self.at {
            0 => Ok(()),
            extra => Err(DecodeError::TrailingBytes { at: self.at, extra }),
        }
    }
}

/// Appends a compact size in its shortest form.
pub(crate) fn push_compact_size(out: &mut Vec<u8>, size: u64) {
    match size {
        0..=0xfc => out.push(size as u8),
        0xfd..=0xffff => {
            out.push(0xfd);
            out.extend_from_slice(&(size as u16).to_le_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xfe);
            out.extend_from_slice(&(size as u32).to_le_bytes());
        }
        _ => {
            out.push(0xff);
            out.extend_from_slice(&size.to_le_bytes());
        }
    }
}

/// How many bytes a compact size takes.
pub(crate) fn compact_size_len(size: u64) -> usize {
    match size {
        0..=0xfc => 1,
        0xfd..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn compact_sizes_read_back(size in 0..=MAX_SIZE) {
            let mut out = Vec::new();
            push_compact_size(&mut out, size);
            prop_assert_eq!(out.len(), compact_size_len(size));
            let mut reader = Reader::new(&out).unwrap();
            prop_assert_eq!(reader.compact_size().unwrap(), size);
            prop_assert!(reader.finish().is_ok());
        }

        #[test]
        fn longer_forms_than_needed_are_refused(size in 0_u64..=0xffff) {
            let mut long = vec![0xfe];
            long.extend_from_slice(&(size as u32).to_le_bytes());
            let refused = Reader::new(&long).unwrap().compact_size();
            prop_assert_eq!(refused, Err(DecodeError::NonCanonicalSize { at: 0 }));
        }

        #[test]
        fn random_bytes_never_panic(raw in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Layout::of_block(&raw);
            let _ = Layout::of_transaction(&raw);
        }
    }

    #[test]
    fn a_count_that_cannot_fit_is_refused_before_anything_is_reserved() {
        let mut raw = vec![0; 80];
        push_compact_size(&mut raw, MAX_SIZE);
        assert!(matches!(
            Layout::of_block(&raw),
            Err(DecodeError::Truncated { .. })
        ));
        let mut raw = vec![0; 80];
        push_compact_size(&mut raw, u64::MAX);
        assert!(matches!(
            Layout::of_block(&raw),
            Err(DecodeError::SizeTooLarge { .. })
        ));
    }

    #[test]
    fn a_transaction_with_a_marker_and_no_witness_is_superfluous() {
        let mut raw = vec![2, 0, 0, 0, 0, 1, 1];
        raw.extend([0; 36]);
        raw.extend([0, 0xff, 0xff, 0xff, 0xff]);
        raw.extend([0, 0]);
        raw.extend([0; 4]);
        let refused = Layout::of_transaction(&raw).unwrap_err();
        assert!(matches!(refused, DecodeError::SuperfluousWitness { .. }));
        raw[5] = 3;
        raw[48] = 0;
        let refused = Layout::of_transaction(&raw).unwrap_err();
        assert!(
            matches!(refused, DecodeError::SuperfluousWitness { .. }),
            "{refused}"
        );
    }
}
