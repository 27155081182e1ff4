//! The mathematical policy: what to do when no advisor has a say.
//!
//! Deterministic, and a function of its inputs alone. With
//!
//! - `V` = subsidy + fees of the template, in satoshis,
//! - `D` = expected hashes to meet the network's target, `R` = our hash rate in H/s,
//! - `T` = the network's block spacing in seconds,
//! - `r` = the share of our own blocks that went stale so far,
//! - `u` = seconds since the node was last heard of,
//!
//! the chance that a block found now is worth nothing is
//!
//! ```text
//! p = 1 - (1 - r) * exp(-u / T)
//! ```
//!
//! (blocks elsewhere come as a Poisson process, and a silent node would not tell us of one), and
//! hashing earns
//!
//! ```text
//! gain = R / D * V * (1 - p)          sat/s
//! ```
//!
//! A power cost, where the operator configured one, is `watts * price / 3,600,000` sat/s. The policy
//! holds when the gain is below that cost, asks for another template when the one in hand is older
//! than its limit, and proceeds otherwise. Without a power cost it never holds for economics: power
//! that costs nothing is never better spent on not hashing.

use std::time::Duration;

/// For how long an economic HOLD lasts before the sums are done again.
pub const REASSESS: Duration = Duration::from_mins(1);

/// What hashing costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerCost {
    /// Power drawn because of hashing, in watts.
    pub watts: f64,
    /// Price of a kilowatt-hour, in satoshis.
    pub sat_per_kwh: f64,
}

impl PowerCost {
    /// Satoshis per second of hashing.
    pub fn sat_per_s(&self) -> f64 {
        self.watts * self.sat_per_kwh / 3_600_000.0
    }
}

/// What the policy looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct Economics {
    /// Subsidy plus fees of the block being made, in satoshis.
    pub reward_sat: u64,
    /// Expected hashes to meet the network's target.
    pub expected_hashes: f64,
    /// Our hash rate in H/s; absent until measured.
    pub hashrate_hs: Option<f64>,
    /// The network's mean time between blocks.
    pub spacing: Duration,
    /// The share of our settled blocks that went stale, 0 to 1; absent until one is settled.
    pub stale_ratio: Option<f64>,
    /// Since the node was last heard of.
    pub unheard: Duration,
    /// What hashing costs, where configured.
    pub power: Option<PowerCost>,
    /// Age of the template in hand; absent when it is a coinbase-only one of our own making.
    pub template_age: Option<Duration>,
    /// Older templates are worth a refresh.
    pub template_max_age: Duration,
}

/// What the policy recommends.
#[derive(Debug, Clone, PartialEq)]
pub enum Policy {
    /// Hash.
    Proceed {
        /// Why, in words.
        reason: String,
    },
    /// Do not hash for a time, then ask again.
    Hold {
        /// How long.
        hold: Duration,
        /// Why, in words.
        reason: String,
    },
    /// Hash, and get a fresh template meanwhile.
    Refresh {
        /// Why, in words.
        reason: String,
    },
}

/// The chance that a block found now turns out stale: `1 - (1 - r) * exp(-u / T)`.
pub fn stale_risk(economics: &Economics) -> f64 {
    let unheard = economics.unheard.as_secs_f64();
    let spacing = economics.spacing.as_secs_f64();
    let superseded = if spacing > 0.0 {
        (-unheard / spacing).exp()
    } else {
        1.0
    };
    1.0 - (1.0 - economics.stale_ratio.unwrap_or(0.0).clamp(0.0, 1.0)) * superseded
}

/// Expected earnings in satoshis per second; absent while the hash rate is unknown.
pub fn gain_sat_per_s(economics: &Economics) -> Option<f64> {
    let blocks_per_s = economics.hashrate_hs? / economics.expected_hashes.max(1.0);
    Some(blocks_per_s * economics.reward_sat as f64 * (1.0 - stale_risk(economics)))
}

/// Whether hashing costs more than it earns, as far as both are known.
pub fn loses(economics: &Economics) -> bool {
    let gain = gain_sat_per_s(economics);
    gain.zip(economics.power)
        .is_some_and(|(gain, power)| gain < power.sat_per_s())
}

/// The policy's recommendation.
pub fn recommend(economics: &Economics) -> Policy {
    let gain = gain_sat_per_s(economics);
    if let (Some(gain), Some(power)) = (gain, economics.power)
        && loses(economics)
    {
        return Policy::Hold {
            hold: REASSESS,
            reason: format!(
                "hashing earns {gain:.3e} sat/s and its power costs {:.3e} sat/s",
                power.sat_per_s()
            ),
        };
    }
    if let Some(age) = economics.template_age
        && age > economics.template_max_age
    {
        return Policy::Refresh {
            reason: format!(
                "the template is {:.0} s old, more than {:.0} s",
                age.as_secs_f64(),
                economics.template_max_age.as_secs_f64()
            ),
        };
    }
    let reason = match (gain, economics.power) {
        (Some(gain), Some(power)) => format!(
            "hashing earns {gain:.3e} sat/s and its power costs {:.3e} sat/s",
            power.sat_per_s()
        ),
        (Some(gain), None) => format!("hashing earns {gain:.3e} sat/s; no power cost is set"),
        (None, _) => "the hash rate is not measured yet".to_owned(),
    };
    Policy::Proceed { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mainnet() -> Economics {
        Economics {
            reward_sat: 312_500_000,
            expected_hashes: 5e23,
            hashrate_hs: Some(1e14),
            spacing: Duration::from_mins(10),
            stale_ratio: None,
            unheard: Duration::ZERO,
            power: None,
            template_age: Some(Duration::from_secs(3)),
            template_max_age: Duration::from_secs(30),
        }
    }

    #[test]
    fn gain_is_the_share_of_the_work_times_the_reward() {
        let gain = gain_sat_per_s(&mainnet()).expect("the rate is known");
        assert!((gain - 1e14 / 5e23 * 312_500_000.0).abs() < 1e-12, "{gain}");
    }

    #[test]
    fn a_node_silent_for_one_block_spacing_leaves_a_share_of_one_over_e() {
        let economics = Economics {
            unheard: Duration::from_mins(10),
            ..mainnet()
        };
        assert!((stale_risk(&economics) - (1.0 - (-1.0_f64).exp())).abs() < 1e-12);
        let both = Economics {
            stale_ratio: Some(0.5),
            ..economics
        };
        assert!((stale_risk(&both) - (1.0 - 0.5 * (-1.0_f64).exp())).abs() < 1e-12);
        assert!(stale_risk(&mainnet()).abs() < 1e-12);
    }

    #[test]
    fn a_zero_spacing_is_no_division_by_zero() {
        let economics = Economics {
            spacing: Duration::ZERO,
            ..mainnet()
        };
        assert!(stale_risk(&economics).abs() < 1e-12);
    }

    #[test]
    fn without_a_power_cost_nothing_is_too_poor_to_hash() {
        let hopeless = Economics {
            reward_sat: 0,
            expected_hashes: 1e60,
            hashrate_hs: Some(1e-9),
            unheard: Duration::from_secs(1 << 40),
            stale_ratio: Some(1.0),
            ..mainnet()
        };
        assert!(matches!(recommend(&hopeless), Policy::Proceed { .. }));
    }

    #[test]
    fn holds_exactly_when_power_costs_more_than_hashing_earns() {
        let gain = gain_sat_per_s(&mainnet()).expect("the rate is known");
        let at = |factor: f64| Economics {
            power: Some(PowerCost {
                watts: 1000.0,
                sat_per_kwh: gain * factor * 3600.0,
            }),
            ..mainnet()
        };
        assert!(matches!(recommend(&at(0.99)), Policy::Proceed { .. }));
        let Policy::Hold { hold, reason } = recommend(&at(1.01)) else {
            panic!("power costs more than hashing earns");
        };
        assert_eq!(hold, REASSESS);
        assert!(reason.contains("power costs"), "{reason}");
    }

    #[test]
    fn an_unmeasured_hash_rate_is_no_reason_to_hold() {
        let unknown = Economics {
            hashrate_hs: None,
            power: Some(PowerCost {
                watts: 1e6,
                sat_per_kwh: 1e6,
            }),
            ..mainnet()
        };
        assert!(matches!(recommend(&unknown), Policy::Proceed { .. }));
    }

    #[test]
    fn an_old_template_is_refreshed_and_our_own_has_no_age() {
        let old = Economics {
            template_age: Some(Duration::from_secs(31)),
            ..mainnet()
        };
        assert!(matches!(recommend(&old), Policy::Refresh { .. }));
        let own = Economics {
            template_age: None,
            ..mainnet()
        };
        assert!(matches!(recommend(&own), Policy::Proceed { .. }));
    }
}
