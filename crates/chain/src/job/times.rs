//! Which times a job may be stamped with.

use crate::params::Params;
use crate::template::Template;

/// How far past the template's time a job may be stamped, in seconds.
///
/// A job whose time has come to an end is an old job; the nonce space does not need it.
pub const MAX_TIME_ROLL_S: u32 = 1_800;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TimeBounds {
    pub min: u32,
    /// The node's time when it made the template, or the earliest allowed after it.
    pub start: u32,
    pub max: u32,
}

/// Between which times the template's nBits hold, and from which one to start.
pub(super) fn time_bounds(template: &Template, params: &Params) -> TimeBounds {
    let start = template.curtime.max(template.mintime);
    let free = TimeBounds {
        min: template.mintime,
        start,
        max: start.saturating_add(MAX_TIME_ROLL_S),
    };
    let bits_depend_on_time = params.min_difficulty_blocks
        && !params.no_retarget
        && !template.height.is_multiple_of(params.retarget_interval);
    if !bits_depend_on_time {
        return free;
    }
    let Some(parent_time) = template.parent_time else {
        // Without the parent's time there is no telling where the rule changes.
        return TimeBounds {
            min: start,
            max: start,
            ..free
        };
    };
    let late = parent_time.saturating_add(2 * params.target_spacing_s);
    if start > late {
        TimeBounds {
            min: free.min.max(late.saturating_add(1)),
            ..free
        }
    } else {
        TimeBounds {
            max: free.max.min(late),
            ..free
        }
    }
}
