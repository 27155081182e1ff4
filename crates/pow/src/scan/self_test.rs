//! Whether a kernel computes rightly on the CPU that it is about to be used on.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::ops::ControlFlow;

use super::{Hit, Kernel, NonceRange, ScanJob, scalar::Scalar};
use crate::nbits::NBits;
use crate::target::Target;

/// Tries a kernel before it is relied on: it finds the nonces of real headers in each of its lanes,
/// and what the scalar kernel finds in jobs of 1, 16, 17 and 64 versions.
///
/// It takes some 2,000 hashes, a fraction of a millisecond on a kernel worth choosing.
///
/// # Errors
/// The first thing that the kernel did wrong.
///
/// # Panics
/// When the kernel [is not supported](Kernel::is_supported) here.
pub fn self_test(kernel: &dyn Kernel) -> Result<(), SelfTestError> {
    finds_real_nonces(kernel)?;
    agrees_with_scalar(kernel)?;
    stops_when_told_to(kernel)
}

/// What a kernel did wrong, and on what.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "hashing kernel {kernel} is wrong on this CPU: {fault}, scanning nonces {} to {} with {versions} \
     versions of header {header}; use another kernel",
    .range.start,
    u64::from(.range.start) + .range.count - 1
)]
pub struct SelfTestError {
    /// The kernel's name.
    pub kernel: &'static str,
    /// The header that was scanned, in hexadecimal, with the first version and the first nonce.
    pub header: String,
    /// How many versions of it were scanned side by side.
    pub versions: usize,
    /// The nonces that were scanned.
    pub range: NonceRange,
    /// What was wrong.
    pub fault: KernelFault,
}

/// Something that a kernel must not do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KernelFault {
    /// This hit was not reported.
    #[error("it missed version {:#010x} with nonce {}", .0.version, .0.nonce)]
    Missed(Hit),
    /// This was reported and is no hit, or not with this digest.
    #[error("it reported version {:#010x} with nonce {}, which is no hit", .0.version, .0.nonce)]
    Invented(Hit),
    /// Some hit was reported more than once.
    #[error("it reported {got} hits where there are {expected}")]
    Repeated {
        /// Hits that there are.
        expected: usize,
        /// Hits that were reported.
        got: usize,
    },
    /// The number of hashes that it claims to have done is wrong.
    #[error("it counted {got} hashes instead of {expected}")]
    Miscounted {
        /// Hashes that there were to do.
        expected: u64,
        /// Hashes that it claims.
        got: u64,
    },
    /// It went on after it was told to stop.
    #[error(
        "it reported {calls} hits when it was to stop at the first and counted {hashes} hashes"
    )]
    WentOn {
        /// How often it reported a hit.
        calls: u32,
        /// Hashes that it claims.
        hashes: u64,
    },
}

/// A block of mainnet.
struct RealHeader {
    header: [u8; 80],
    /// As explorers show it.
    hash: &'static str,
}

/// Heights 0 (2009), 413,567 (2016, another version) and 866,342 (2024, version bits rolled).
const REAL: [RealHeader; 3] = [
    RealHeader {
        header: header(
            "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b2\
             7ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c",
        ),
        hash: "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
    },
    RealHeader {
        header: header(
            "0400000011cec5c65e00d35b08860e4e47c6f63f522bb1294db54205000000000000000005ce7daa2ab78536\
             86a216e6e40415cfca390c23daff2eaaba16c89f640ca564b38d47573684051803b95f7e",
        ),
        hash: "0000000000000000025aff8be8a55df8f89c77296db6198f272d6577325d4069",
    },
    RealHeader {
        header: header(
            "0060c02158fae6bd34a25f8f05ac2dbe0c47bbec3749c7de030c02000000000000000000bf3782471b2e4b5c\
             52b77bdfd01040e508e309b4681cf6cb0c914eb70d678b9fba8e1367cd0e0317337f05c6",
        ),
        hash: "000000000000000000014ce9ba7c6760053c3c82ce6ab43d60afb101d3c8f1f1",
    },
];

impl RealHeader {
    fn word(&self, at: usize) -> u32 {
        let bytes = &self.header[at..at + 4];
        u32::from_le_bytes(bytes.try_into().expect("four bytes"))
    }

    fn hit(&self) -> Hit {
        let hash: Target = self.hash.parse().expect("a hash in hexadecimal");
        Hit {
            version: self.word(0).cast_signed(),
            nonce: self.word(76),
            digest: hash.to_le_bytes(),
        }
    }

    fn job(&self, versions: &[i32]) -> ScanJob {
        let target = Target::from_nbits(NBits(self.word(72))).expect("nBits of a mined block");
        ScanJob::new(&self.header, versions, target)
    }
}

/// A target below 2^224 has a kernel compare all 32 bits that it computes, so that a wrong one
/// anywhere is a miss. The nonce comes to each lane, and the version to each place of a list, as some kernels have
/// versions in their lanes.
fn finds_real_nonces(kernel: &dyn Kernel) -> Result<(), SelfTestError> {
    let lanes = kernel.lanes();
    for (lane, real) in (0..lanes).zip(REAL.iter().cycle()) {
        let hit = real.hit();
        let range = NonceRange {
            start: hit.nonce - lane,
            count: u64::from(lanes),
        };
        expect(kernel, &real.job(&[hit.version]), range, &[hit])?;
    }
    for (place, real) in (0..17).zip(REAL.iter().cycle()) {
        let hit = real.hit();
        let versions: Vec<i32> = (0..17).map(|i| hit.version ^ (i ^ place) << 13).collect();
        let range = NonceRange {
            start: hit.nonce - 1,
            count: 2,
        };
        expect(kernel, &real.job(&versions), range, &[hit])?;
    }
    Ok(())
}

/// Targets met by one digest in 2 to 8 show how a kernel treats many candidates, batches that are not full and
/// the last nonce.
fn agrees_with_scalar(kernel: &dyn Kernel) -> Result<(), SelfTestError> {
    for (versions, start, count, zero_bits) in [
        (1, 0x0123_4567, 61, 1),
        (16, u32::MAX - 20, 21, 1),
        (17, 0x7fff_fffd, 7, 3),
        (64, 0xfedc_ba98, 9, 1),
    ] {
        let job = easy_job(versions, zero_bits);
        let range = NonceRange { start, count };
        let mut expected = Vec::new();
        Scalar.scan(&job, range, &mut |hit| {
            expected.push(hit);
            ControlFlow::Continue(())
        });
        expect(kernel, &job, range, &expected)?;
    }
    Ok(())
}

fn stops_when_told_to(kernel: &dyn Kernel) -> Result<(), SelfTestError> {
    let job = easy_job(3, 1);
    let range = NonceRange {
        start: 0,
        count: 4 * u64::from(kernel.lanes()).max(8),
    };
    let mut calls = 0;
    let hashes = kernel.scan(&job, range, &mut |_| {
        calls += 1;
        ControlFlow::Break(())
    });
    if calls == 1 && (1..=versions_times_nonces(&job, range)).contains(&hashes) {
        return Ok(());
    }
    Err(error(
        kernel,
        &job,
        range,
        KernelFault::WentOn { calls, hashes },
    ))
}

/// A job of which one hash in 2^`zero_bits` is a hit.
fn easy_job(versions: i32, zero_bits: u32) -> ScanJob {
    let header = std::array::from_fn(|i| (i * 151 + 17) as u8);
    let versions: Vec<i32> = (0..versions).map(|i| 0x2000_0000 | i << 13).collect();
    let mut target = [0xff; 32];
    target[0] >>= zero_bits;
    ScanJob::new(&header, &versions, Target::from_be_bytes(target))
}

/// Scans, and compares what the kernel says with what there is.
fn expect(
    kernel: &dyn Kernel,
    job: &ScanJob,
    range: NonceRange,
    expected: &[Hit],
) -> Result<(), SelfTestError> {
    let mut got = Vec::with_capacity(expected.len());
    let hashes = kernel.scan(job, range, &mut |hit| {
        got.push(hit);
        ControlFlow::Continue(())
    });
    let expected_hashes = versions_times_nonces(job, range);
    let (reported, real): (HashSet<&Hit>, HashSet<&Hit>) =
        (got.iter().collect(), expected.iter().collect());
    let fault = if let Some(&&hit) = real.difference(&reported).next() {
        KernelFault::Missed(hit)
    } else if let Some(&&hit) = reported.difference(&real).next() {
        KernelFault::Invented(hit)
    } else if got.len() != expected.len() {
        KernelFault::Repeated {
            expected: expected.len(),
            got: got.len(),
        }
    } else if hashes != expected_hashes {
        KernelFault::Miscounted {
            expected: expected_hashes,
            got: hashes,
        }
    } else {
        return Ok(());
    };
    Err(error(kernel, job, range, fault))
}

fn versions_times_nonces(job: &ScanJob, range: NonceRange) -> u64 {
    job.versions().len() as u64 * range.count
}

fn error(
    kernel: &dyn Kernel,
    job: &ScanJob,
    range: NonceRange,
    fault: KernelFault,
) -> SelfTestError {
    let first = job.versions().next().unwrap_or_default();
    SelfTestError {
        kernel: kernel.name(),
        header: hex(&job.header(first, range.start)),
        versions: job.versions().len(),
        range,
        fault,
    }
}

/// A header from hexadecimal digits.
const fn header(text: &str) -> [u8; 80] {
    let digits = text.as_bytes();
    assert!(digits.len() == 160, "a header has 160 digits");
    let mut header = [0; 80];
    let mut i = 0;
    while i < 160 {
        let digit = (digits[i] as char)
            .to_digit(16)
            .expect("hexadecimal digits");
        header[i / 2] = header[i / 2] << 4 | digit as u8;
        i += 1;
    }
    header
}

fn hex(header: &[u8; 80]) -> String {
    let mut text = String::with_capacity(160);
    for byte in header {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scalar kernel's truth, retold.
    struct Retold<F> {
        lanes: u32,
        retell: F,
    }

    impl<F> Kernel for Retold<F>
    where
        F: Fn(&ScanJob, NonceRange, &mut dyn FnMut(Hit) -> ControlFlow<()>) -> u64 + Send + Sync,
    {
        fn name(&self) -> &'static str {
            "retold"
        }
        fn is_supported(&self) -> bool {
            true
        }
        fn lanes(&self) -> u32 {
            self.lanes
        }
        fn scan(
            &self,
            job: &ScanJob,
            range: NonceRange,
            on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
        ) -> u64 {
            (self.retell)(job, range, on_hit)
        }
    }

    /// What the self-test says of a kernel of 16 lanes that does something else with each hit.
    fn fault_when(
        tell: impl Fn(
            &ScanJob,
            NonceRange,
            Hit,
            &mut dyn FnMut(Hit) -> ControlFlow<()>,
        ) -> ControlFlow<()>
        + Send
        + Sync,
    ) -> Option<KernelFault> {
        let kernel = Retold {
            lanes: 16,
            retell: |job: &ScanJob, range, on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>| {
                Scalar.scan(job, range, &mut |hit| tell(job, range, hit, on_hit))
            },
        };
        self_test(&kernel).err().map(|error| error.fault)
    }

    #[test]
    fn every_kernel_that_this_cpu_runs_passes() {
        for kernel in super::super::kernels() {
            if kernel.is_supported() {
                assert_eq!(self_test(*kernel), Ok(()), "{}", kernel.name());
            }
        }
    }

    #[test]
    fn the_truth_passes_whatever_the_lanes_and_takes_few_hashes() {
        for lanes in [1, 4, 8, 16, 32] {
            let hashes = std::sync::atomic::AtomicU64::new(0);
            let kernel = Retold {
                lanes,
                retell: |job: &ScanJob, range, on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>| {
                    let done = Scalar.scan(job, range, on_hit);
                    hashes.fetch_add(done, std::sync::atomic::Ordering::Relaxed);
                    done
                },
            };
            assert_eq!(self_test(&kernel), Ok(()));
            let hashes = hashes.into_inner();
            assert!(hashes < 5_000, "{hashes} with {lanes} lanes");
        }
    }

    #[test]
    fn a_kernel_that_misses_the_hits_of_a_lane_is_refused() {
        for lane in 0..16 {
            let fault = fault_when(|_, range, hit, on_hit| {
                if hit.nonce.wrapping_sub(range.start) % 16 == lane {
                    return ControlFlow::Continue(());
                }
                on_hit(hit)
            });
            assert!(matches!(fault, Some(KernelFault::Missed(_))), "{fault:?}");
        }
    }

    #[test]
    fn a_kernel_that_misses_the_hits_of_a_version_is_refused() {
        for place in 0..64 {
            let fault = fault_when(|job, _, hit, on_hit| {
                if job.versions().nth(place) == Some(hit.version) {
                    return ControlFlow::Continue(());
                }
                on_hit(hit)
            });
            assert!(matches!(fault, Some(KernelFault::Missed(_))), "{place}");
        }
    }

    #[test]
    fn a_kernel_that_misses_the_last_nonce_is_refused() {
        let fault = fault_when(|_, _, hit, on_hit| match hit.nonce {
            u32::MAX => ControlFlow::Continue(()),
            _ => on_hit(hit),
        });
        assert!(matches!(fault, Some(KernelFault::Missed(_))), "{fault:?}");
    }

    #[test]
    fn a_kernel_that_reports_what_is_no_hit_is_refused() {
        let fault = fault_when(|_, _, hit, on_hit| {
            on_hit(hit)?;
            on_hit(Hit {
                nonce: hit.nonce ^ 1,
                ..hit
            })
        });
        assert!(matches!(fault, Some(KernelFault::Invented(_))), "{fault:?}");
    }

    #[test]
    fn a_kernel_that_reports_a_hit_twice_is_refused() {
        let fault = fault_when(|_, _, hit, on_hit| {
            on_hit(hit)?;
            on_hit(hit)
        });
        let twice = KernelFault::Repeated {
            expected: 1,
            got: 2,
        };
        assert_eq!(fault, Some(twice));
    }

    #[test]
    fn a_kernel_that_miscounts_is_refused_and_the_message_says_what_of() {
        let kernel = Retold {
            lanes: 16,
            retell: |job: &ScanJob, range, on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>| {
                Scalar.scan(job, range, on_hit).next_multiple_of(64)
            },
        };
        let error = self_test(&kernel).expect_err("a miscount");
        let fault = KernelFault::Miscounted {
            expected: 16,
            got: 64,
        };
        assert_eq!(error.fault, fault);
        let message = error.to_string();
        for part in [
            "retold",
            "64 hashes instead of 16",
            "1dac2b7c",
            "2083236893",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    #[test]
    fn a_kernel_that_does_not_stop_is_refused() {
        let fault = fault_when(|_, _, hit, on_hit| {
            let _ = on_hit(hit);
            ControlFlow::Continue(())
        });
        assert!(
            matches!(fault, Some(KernelFault::WentOn { .. })),
            "{fault:?}"
        );
    }
}
