//! One line that says how it is going: as plain text, or in parts for a terminal that colours them and
//! leaves out what does not fit.

use std::fmt;

use crate::resources::Degradation;
use crate::stats::Status;

/// Two spaces between two parts.
const GAP: usize = 2;

/// The line of every interval: work, resources, tip, state. A figure that is not known is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    parts: Vec<Part>,
}

/// A part of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it says.
    pub text: String,
    /// How it is meant.
    pub tone: Tone,
    /// What is left out first where the line does not fit: the highest.
    rank: u8,
}

/// How a part is meant; a terminal shows it as a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// A figure.
    Plain,
    /// The figure that matters.
    Strong,
    /// In the background.
    Faint,
    /// All is well.
    Good,
    /// Not as it is meant to be for long.
    Warn,
    /// Wrong.
    Bad,
}

impl Line {
    /// The line for a status.
    pub fn of(status: &Status) -> Self {
        let mut line = Self { parts: Vec::new() };
        line.add(6, Tone::Plain, format!("{:.1} vps", status.rates.vps));
        line.add(1, Tone::Strong, hashrate(status.mining.hashrate_hs));
        if let Some(cpu) = status.rates.cpu {
            line.add(7, Tone::Faint, format!("cpu {:.0} %", cpu * 100.0));
        }
        if let Some(bytes) = status.rates.memory_bytes {
            let megabytes = bytes as f64 / 1e6;
            line.add(8, Tone::Faint, format!("memory {megabytes:.0} MB"));
        }
        match &status.tip {
            Some(tip) => line.add(
                2,
                Tone::Plain,
                format!("tip {} ({})", tip.height, age(tip.age_s)),
            ),
            None => line.add(2, Tone::Warn, "no tip yet".into()),
        }
        let blocks = &status.blocks;
        if blocks.found > 0 {
            let tone = match blocks.rejected {
                0 => Tone::Good,
                _ => Tone::Bad,
            };
            let text = format!("blocks {}/{} accepted", blocks.accepted, blocks.found);
            line.add(4, tone, text);
        }
        if status.advisor.state == "left_out" {
            line.add(3, Tone::Warn, "advisor left out".into());
        } else if status.advisor.trouble.is_some() {
            line.add(5, Tone::Warn, "no advice".into());
        }
        let (tone, state) = match &status.idle_reason {
            Some(reason) => (Tone::Warn, format!("{}: {reason}", status.state)),
            None => (Tone::Good, status.state.clone()),
        };
        line.add(0, tone, state);
        if status.mining.fallback.is_some() {
            line.add(3, Tone::Warn, "not on the newest template".into());
        }
        if let Some(stale) = &status.mining.stale {
            line.add(0, Tone::Bad, format!("STALE WORK for {:.0} s", stale.age_s));
        }
        if !status.node.synced && status.node.state != "not asked yet" {
            line.add(3, Tone::Bad, format!("node {}", status.node.state));
        }
        if status.degradation != Degradation::None {
            line.add(3, Tone::Bad, status.degradation.to_string());
        } else if !status.alerts.is_empty() {
            let short: Vec<String> = status
                .alerts
                .iter()
                .map(|a| a.resource.to_string())
                .collect();
            line.add(3, Tone::Bad, format!("alert: {}", short.join(", ")));
        }
        if let Some(words) = status.log.in_words() {
            let tone = match status.log.errors {
                0 => Tone::Warn,
                _ => Tone::Bad,
            };
            line.add(5, tone, words);
        }
        line
    }

    fn add(&mut self, rank: u8, tone: Tone, text: String) {
        self.parts.push(Part { text, tone, rank });
    }

    /// The parts that fit into `columns`, in order: the least important are left out first. The last one
    /// that is left may still be too long.
    pub fn fitting(&self, columns: usize) -> Vec<&Part> {
        let mut parts: Vec<&Part> = self.parts.iter().collect();
        while parts.len() > 1 && width(&parts) > columns {
            let least = parts.iter().map(|part| part.rank).max();
            parts.retain(|part| Some(part.rank) != least);
        }
        parts
    }
}

impl From<&str> for Line {
    /// A line of one part.
    fn from(text: &str) -> Self {
        let mut line = Self { parts: Vec::new() };
        line.add(0, Tone::Plain, text.to_owned());
        line
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                f.write_str("  ")?;
            }
            f.write_str(&part.text)?;
        }
        Ok(())
    }
}

fn width(parts: &[&Part]) -> usize {
    let texts: usize = parts.iter().map(|part| part.text.chars().count()).sum();
    texts + parts.len().saturating_sub(1) * GAP
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
pub fn age(seconds: f64) -> String {
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

    #[test]
    fn a_narrow_terminal_keeps_the_state_and_loses_what_matters_least_first() {
        let mut line = Line { parts: Vec::new() };
        line.add(6, Tone::Plain, "2.0 vps".into());
        line.add(1, Tone::Strong, "39.1 MH/s".into());
        line.add(8, Tone::Faint, "memory 21 MB".into());
        line.add(0, Tone::Good, "paced".into());
        let fitting = |columns| {
            let parts = line.fitting(columns);
            parts.iter().map(|p| p.text.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(line.to_string(), "2.0 vps  39.1 MH/s  memory 21 MB  paced");
        assert_eq!(fitting(39).len(), 4, "exactly as wide as the terminal");
        assert_eq!(fitting(38), ["2.0 vps", "39.1 MH/s", "paced"]);
        assert_eq!(fitting(20), ["39.1 MH/s", "paced"]);
        assert_eq!(fitting(3), ["paced"], "the state always stays");
    }
}
