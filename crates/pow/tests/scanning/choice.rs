//! Kernels by name, and what a job shows of itself.

use std::collections::BTreeSet;

use pow::{KernelError, ScanJob, Target, kernel, kernels};

use crate::oracle::{header, supported};

#[test]
fn a_job_shows_what_it_was_made_of() {
    let mut header = header(9);
    let job = ScanJob::new(&header, &[4, 1], Target::DIFFICULTY_1);
    assert_eq!(job.versions().collect::<Vec<_>>(), [4, 1]);
    assert_eq!(job.target(), Target::DIFFICULTY_1);
    header[..4].copy_from_slice(&[1, 0, 0, 0]);
    header[76..].copy_from_slice(&[0x1d, 0xac, 0x2b, 0x7c]);
    assert_eq!(job.header(1, 2_083_236_893), header);
}

#[test]
fn kernels_are_found_by_name() {
    for known in kernels() {
        match kernel(known.name()) {
            Ok(found) => assert_eq!(found.name(), known.name()),
            Err(error) => {
                assert!(!known.is_supported());
                assert!(matches!(error, KernelError::Unsupported { .. }));
            }
        }
    }
    let first = supported().next().expect("the scalar kernel at least");
    assert_eq!(kernel("auto").expect("always there").name(), first.name());
    let names: BTreeSet<_> = kernels().iter().map(|k| k.name()).collect();
    assert_eq!(names.len(), kernels().len(), "names are unique");

    let error = kernel("gpu").err().expect("no such kernel");
    assert!(matches!(error, KernelError::Unknown { .. }));
    let message = error.to_string();
    assert!(
        message.contains("\"gpu\"") && message.contains("auto") && message.contains("scalar"),
        "{message}"
    );
}
