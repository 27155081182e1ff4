//! The sign of life of the hashing threads.

use std::sync::{Arc, Mutex, PoisonError};

use crate::stats::Registry;

/// A counter that moves whenever each of the first `threads` hashing threads has gone round since it last
/// moved: it stands still as soon as one of them does, whatever the others do. Scanning and parked threads
/// go round alike.
pub fn progress(registry: Arc<Registry>, threads: usize) -> impl Fn() -> u64 + Send + Sync {
    let last = Mutex::new((0, Vec::new()));
    move || {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let now: Vec<u64> = registry
            .threads
            .iter()
            .take(threads)
            .map(|thread| thread.rounds.get())
            .collect();
        let (count, before) = &mut *last;
        if before.len() != now.len() {
            *before = now;
        } else if before.iter().zip(&now).all(|(before, now)| before != now) {
            *before = now;
            *count += 1;
        }
        *count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_when_all_have_moved_and_stands_still_when_one_does() {
        let registry = Arc::new(Registry::new(4));
        // Three in use; the first is far ahead, as after hours of parking of the others.
        registry.threads[0].rounds.add(1_000_000);
        let count = progress(Arc::clone(&registry), 3);
        let go = |threads: &[usize]| {
            for thread in threads {
                registry.threads[*thread].rounds.increment();
            }
            count()
        };
        assert_eq!(go(&[]), 0);
        assert_eq!(go(&[0, 1, 2]), 1);
        assert_eq!(go(&[1, 2]), 1, "the first stands still");
        assert_eq!(go(&[1, 2]), 1);
        assert_eq!(go(&[0]), 2, "and goes on");
        assert_eq!(go(&[0, 1]), 2, "now it is the last");
        assert_eq!(go(&[2]), 3, "one after the other is as good as together");
        assert_eq!(go(&[3]), 3, "one that is not in use does not count");
    }
}
