//! Where a settled block stands today, by what the nodes know of it.

use super::fate::{Known, NodeIndex};

/// Where a settled block stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether it is in a node's active chain; none if that cannot be said at the moment.
    pub(super) active: Option<bool>,
    /// The nodes that do not have it.
    pub(super) missing: Vec<NodeIndex>,
}

impl Standing {
    /// By what each node knows of it. One node that has it in its active chain is enough; it is out only where a node
    /// says so that has another block at that height with more work on top, or holds it to be invalid.
    pub(super) fn of(height: u32, known: &[Known]) -> Self {
        let is_active = known.contains(&Known::Active);
        let is_out = known.iter().any(|known| match known {
            Known::Side { tip } => *tip > height,
            Known::Invalid => true,
            _ => false,
        });
        let lacks = |known: &Known| matches!(known, Known::Nothing | Known::HeaderOnly);
        Self {
            active: (is_active || is_out).then_some(is_active),
            missing: (0..known.len())
                .filter(|index| lacks(&known[*index]))
                .collect(),
        }
    }

    /// Whether there is reason to ask again soon: nobody had anything to say of it.
    pub(super) fn is_open(&self) -> bool {
        self.active.is_none() && self.missing.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(known: &[Known]) -> (Option<bool>, Vec<NodeIndex>, bool) {
        let standing = Standing::of(100, known);
        let open = standing.is_open();
        (standing.active, standing.missing, open)
    }

    #[test]
    fn one_node_that_has_it_in_its_chain_is_enough() {
        let out = Known::Side { tip: 101 };
        assert_eq!(
            standing(&[out, Known::Active]),
            (Some(true), Vec::new(), false)
        );
    }

    #[test]
    fn it_is_out_when_a_longer_chain_or_an_operator_says_so() {
        let silent = Known::NoAnswer(String::new());
        for out in [Known::Side { tip: 101 }, Known::Invalid] {
            let known = [silent.clone(), out];
            assert_eq!(standing(&known), (Some(false), Vec::new(), false));
        }
    }

    #[test]
    fn a_race_and_silence_say_nothing_and_are_asked_again() {
        let silent = Known::NoAnswer(String::new());
        for known in [Known::Side { tip: 100 }, silent] {
            assert_eq!(standing(&[known]), (None, Vec::new(), true));
        }
    }

    #[test]
    fn who_does_not_have_it_is_named() {
        let known = [Known::Nothing, Known::Active, Known::HeaderOnly];
        assert_eq!(standing(&known), (Some(true), vec![0, 2], false));
        assert_eq!(standing(&[Known::Nothing]), (None, vec![0], false));
    }
}
