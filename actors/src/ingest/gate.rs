//! Whether a template may be published: it must build on the tip that RPC last named.
//!
//! A long poll can be the first to know of a new tip, and a slow answer can be the last to know of
//! an old one. Both carry a parent that is not the known tip. Neither is decided by guessing: the
//! template is held, the tip is read again, and then it is published or dropped.

use bitcoin::BlockHash;

/// What to do with a template that just arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It builds on the known tip.
    Publish,
    /// It does not; the tip is to be read again.
    Hold,
}

/// Holds at most one template, of type `T`, until its parent is known to be the tip, or not.
#[derive(Debug)]
pub struct Gate<T> {
    tip: Option<BlockHash>,
    held: Option<(BlockHash, T)>,
    /// The parent of the template last let through.
    passed: Option<BlockHash>,
}

impl<T> Gate<T> {
    /// Begins with the known tip.
    pub fn new(tip: Option<BlockHash>) -> Self {
        Self {
            tip,
            held: None,
            passed: None,
        }
    }

    /// A template with the parent `prev` arrived. It comes back where it may be published.
    pub fn arrived(&mut self, prev: BlockHash, template: T) -> (Admission, Option<T>) {
        if self.tip == Some(prev) {
            self.held = None;
            self.passed = Some(prev);
            (Admission::Publish, Some(template))
        } else {
            self.held = Some((prev, template));
            (Admission::Hold, None)
        }
    }

    /// The tip was read again, and is `tip`: the held template, if it builds on it.
    pub fn tip_read(&mut self, tip: BlockHash) -> Option<T> {
        self.tip = Some(tip);
        let (prev, template) = self.held.take()?;
        if prev != tip {
            return None;
        }
        self.passed = Some(prev);
        Some(template)
    }

    /// Whether the known tip still has no template.
    pub fn lacks_template(&self) -> bool {
        self.tip.is_some() && self.tip != self.passed
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;

    use super::*;

    fn block(n: u8) -> BlockHash {
        BlockHash::from_byte_array([n; 32])
    }

    #[test]
    fn a_template_on_the_known_tip_passes_at_once() {
        let mut gate = Gate::new(Some(block(1)));
        assert!(gate.lacks_template());
        assert_eq!(gate.arrived(block(1), "a"), (Admission::Publish, Some("a")));
        assert!(!gate.lacks_template());
    }

    #[test]
    fn a_template_that_knows_a_newer_tip_waits_for_the_read_and_passes() {
        let mut gate = Gate::new(Some(block(1)));
        assert_eq!(gate.arrived(block(2), "b"), (Admission::Hold, None));
        assert_eq!(gate.tip_read(block(2)), Some("b"));
        assert!(!gate.lacks_template());
    }

    #[test]
    fn a_late_template_of_an_older_tip_is_dropped_and_the_tip_keeps_its_own() {
        let mut gate = Gate::new(Some(block(2)));
        gate.arrived(block(2), "b");
        assert_eq!(gate.arrived(block(1), "a"), (Admission::Hold, None));
        assert_eq!(gate.tip_read(block(2)), None);
        assert_eq!(gate.tip_read(block(2)), None);
        assert!(
            !gate.lacks_template(),
            "the template of block 2 is still the one in use"
        );
    }

    #[test]
    fn a_new_tip_lacks_a_template_until_one_that_builds_on_it_passes() {
        let mut gate = Gate::new(None);
        assert!(!gate.lacks_template(), "no tip, nothing to lack");
        assert_eq!(gate.arrived(block(1), "early"), (Admission::Hold, None));
        assert_eq!(gate.tip_read(block(1)), Some("early"));
        assert_eq!(gate.tip_read(block(2)), None);
        assert!(gate.lacks_template());
        assert_eq!(gate.arrived(block(2), "b"), (Admission::Publish, Some("b")));
        assert!(!gate.lacks_template());
        // Back to a tip that had a template once: it needs another.
        gate.tip_read(block(1));
        assert!(gate.lacks_template());
    }
}
