//! `[advisor]`: whose advice is asked, how, and within which limits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::advisor::{AdvisorSettings, Mode};
use actors::miner::{Limits, MinerSettings};
use actors::resources::ResourceLimits;
use advisor::jail::orders;
use advisor::tries::Patience;

use super::error::ConfigError;
use super::raw;
use super::validate::Check;

impl Check {
    /// What is asked of whom; within which limits it counts becomes part of `miner`. Without a miner nobody is asked.
    pub(super) fn advisor(
        &self,
        raw: raw::Advisor,
        resources: ResourceLimits,
        miner: Option<&mut MinerSettings>,
        data_dir: &Path,
    ) -> Result<Option<AdvisorSettings>, ConfigError> {
        let seconds = |key: &str, value, least, most| {
            let value = self.within(&format!("advisor.{key}"), value, least, most)?;
            Ok::<_, ConfigError>(Duration::from_secs_f64(value))
        };
        let whole = |key: &str, value, least, most| {
            self.whole(&format!("advisor.{key}"), value, least, most)
        };
        let share = |key: &str, value| self.within(&format!("advisor.{key}"), value, 0.0, 1.0);
        let limits = Limits {
            confidence_floor: share("confidence_floor", raw.confidence_floor)?,
            hold_max: seconds("hold_max_s", raw.hold_max_s, 0.0, 86_400.0)?,
            hold_max_ratio: share("hold_max_ratio", raw.hold_max_ratio)?,
        };
        let mode = match self.given(raw.mode, "advisor.mode")?.as_str() {
            "oneshot" => Mode::OneShot,
            "persistent" => Mode::Persistent,
            other => {
                return Err(self.choice("advisor.mode", other, "\"oneshot\" or \"persistent\""));
            }
        };
        let is_gate = match self.given(raw.gate, "advisor.gate")?.as_str() {
            "async" => false,
            "blocking" => true,
            other => {
                return Err(self.choice("advisor.gate", other, "\"async\" or \"blocking\""));
            }
        };
        let command = self.given(raw.command, "advisor.command")?;
        if command.first().is_some_and(String::is_empty) {
            return Err(self.error(
                "advisor.command",
                "the program's name is empty",
                "give a program and its arguments, [\"builtin\"], or [] for no advisor",
            ));
        }
        let settings = AdvisorSettings {
            command,
            mode,
            patience: Patience {
                attempts: whole("attempts", raw.attempts, 1, 10)? as u32,
                per_try: seconds("timeout_s", raw.timeout_s, 0.1, 600.0)?,
                overall: seconds("deadline_s", raw.deadline_s, 0.1, 3_600.0)?,
                ..Patience::default()
            },
            cache: seconds("cache_s", raw.cache_s, 1.0, 86_400.0)?,
            pause: seconds("pause_s", raw.pause_s, 0.0, 3_600.0)?,
            is_gate,
            limits: orders::Limits {
                memory_bytes: whole("memory_mb", raw.memory_mb, 0, 1 << 20)? << 20,
                cpu_s: whole("cpu_s", raw.cpu_s, 0, 86_400)?,
                tasks: whole("tasks", raw.tasks, 0, 100_000)? as u32,
                open_files: whole("open_files", raw.open_files, 0, 1 << 20)?,
                file_bytes: whole("file_mb", raw.file_mb, 0, 1 << 20)? << 20,
                niceness: whole("nice", raw.nice, 0, 19)? as u8,
            },
            resources,
            dir: data_dir.join("advisor"),
            allow_env: raw.allow_env.unwrap_or_default(),
            readable: self.readable(raw.readable.unwrap_or_default())?,
        };
        let Some(miner) = miner else {
            return Ok(None);
        };
        miner.limits = limits;
        if settings.command.is_empty() {
            return Ok(None);
        }
        miner.gate = is_gate.then_some(settings.patience.overall);
        Ok(Some(settings))
    }

    fn readable(&self, paths: Vec<String>) -> Result<Vec<PathBuf>, ConfigError> {
        let absolute = |path: String| {
            let path = PathBuf::from(path);
            if path.is_absolute() {
                return Ok(path);
            }
            Err(self.error(
                "advisor.readable",
                format!("`{}` is not an absolute path", path.display()),
                "begin it with /",
            ))
        };
        paths.into_iter().map(absolute).collect()
    }
}

#[cfg(test)]
mod tests;
