//! One line that says how it is going.

use crate::stats::Status;

/// The line of every interval: work, resources, tip, state. A figure that is not known is left out.
pub fn line(status: &Status) -> String {
    let mut parts = vec![
        format!("{:.1} vps", status.rates.vps),
        hashrate(status.mining.hashrate_hs),
    ];
    if let Some(cpu) = status.rates.cpu {
        parts.push(format!("cpu {:.0} %", cpu * 100.0));
    }
    if let Some(bytes) = status.rates.memory_bytes {
        parts.push(format!("memory {:.0} MB", bytes as f64 / 1e6));
    }
    match &status.tip {
        Some(tip) => parts.push(format!("tip {} ({})", tip.height, age(tip.age_s))),
        None => parts.push("no tip yet".into()),
    }
    let blocks = &status.blocks;
    if blocks.found > 0 {
        parts.push(format!(
            "blocks {}/{} accepted",
            blocks.accepted, blocks.found
        ));
    }
    parts.push(match &status.idle_reason {
        Some(reason) => format!("{}: {reason}", status.state),
        None => status.state.clone(),
    });
    if !status.node.synced && status.node.state != "not asked yet" {
        parts.push(format!("node {}", status.node.state));
    }
    parts.join("  ")
}

/// A hash rate with its unit, H/s to EH/s, three or four digits.
pub fn hashrate(hashes_per_second: f64) -> String {
    const UNITS: [&str; 7] = ["H/s", "kH/s", "MH/s", "GH/s", "TH/s", "PH/s", "EH/s"];
    let mut value = hashes_per_second;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0) * if value < 10.0 { 2 } else { 1 };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// An age in words: seconds, minutes, hours or days.
fn age(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s old"),
        s if s < 7_200.0 => format!("{:.0} min old", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h old", s / 3_600.0),
        s => format!("{:.0} days old", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_rates_carry_the_unit_that_keeps_them_short() {
        assert_eq!(hashrate(0.0), "0 H/s");
        assert_eq!(hashrate(999.0), "999 H/s");
        assert_eq!(hashrate(999.96), "1.00 kH/s");
        assert_eq!(hashrate(12_345_678.0), "12.3 MH/s");
        assert_eq!(hashrate(1e21), "1000.0 EH/s");
    }

    #[test]
    fn ages_are_told_in_the_unit_a_person_would_use() {
        assert_eq!(age(3.4), "3 s old");
        assert_eq!(age(600.0), "10 min old");
        assert_eq!(age(10_800.0), "3 h old");
        assert_eq!(age(864_000.0), "10 days old");
    }
}
