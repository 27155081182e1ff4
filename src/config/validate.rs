//! What the keys mean and which values they may have.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::health::HealthThresholds;
use actors::miner::{
    Affinity, Interval, MAX_CPUS, MinerSettings, PaceMode, Pacing, PowerCost, parse_cpus,
};
use actors::resources::ResourceLimits;
use chain::{CoinbaseTag, Network, PayoutScript, VersionRolling};

use super::error::{ConfigError, Layer};
use super::raw::{self, Cpus, OneOf, Raw};
use super::{Forced, MAX_THREADS, Profile, Settings, nodes};

/// Checks a merged configuration.
///
/// # Errors
/// The first rule that is broken.
pub fn settings(raw: Raw, file: Option<&Path>) -> Result<Settings, ConfigError> {
    let check = Check {
        layer: Layer::Merged(file.map(Path::to_owned)),
    };
    let network = check.network(raw.chain.network.as_deref())?;
    let data_dir = PathBuf::from(check.given(raw.data_dir, "data_dir")?);
    if !data_dir.is_absolute() {
        return Err(check.error(
            "data_dir",
            format!("`{}` is not an absolute path", data_dir.display()),
            "begin it with /",
        ));
    }
    let poll = check.within(
        "ingest.poll_interval_s",
        raw.ingest.poll_interval_s,
        0.1,
        60.0,
    )?;
    let deadline = check.within("journal.deadline_s", raw.journal.deadline_s, 0.01, 10.0)?;
    let level = check.given(raw.validate.level, "validate.level")?;
    let level = u32::try_from(level)
        .ok()
        .filter(|level| (1..=1_000_000).contains(level))
        .ok_or_else(|| {
            check.error(
                "validate.level",
                format!("{level} is out of range"),
                "give a number from 1 to 1000000",
            )
        })?;
    let runtime_dir = check.directory(raw.runtime_dir, "runtime_dir", &data_dir, "run")?;
    let log_dir = check.directory(raw.log_dir, "log_dir", &data_dir, "log")?;
    let (mut mining, forced) = check.mining(raw.mining, network)?;
    let resources = check.resources(&raw.resources)?;
    let advisor = check.advisor(raw.advisor, resources, mining.as_mut(), &data_dir)?;
    Ok(Settings {
        advisor,
        node_id: check.node_id(raw.node_id)?,
        profile: check.profile(raw.profile.as_deref())?,
        log_dir,
        log_max_size: check.whole("log.max_size_mb", raw.log.max_size_mb, 1, 10_000)? << 20,
        log_keep: check.whole("log.keep", raw.log.keep, 0, 1000)? as usize,
        api_listen: check.listen(&check.given(raw.api.listen, "api.listen")?)?,
        health: HealthThresholds {
            performance_min: check.within(
                "health.performance_min",
                raw.health.performance_min,
                0.0,
                1.0,
            )?,
        },
        resources,
        fault_injection: check.given(raw.debug.fault_injection, "debug.fault_injection")?,
        hang_after: Duration::from_secs_f64(check.within(
            "debug.hang_after_s",
            raw.debug.hang_after_s,
            0.5,
            600.0,
        )?),
        runtime_dir,
        network,
        nodes: nodes::nodes(&raw.node, &check.layer)?,
        poll_interval: Duration::from_secs_f64(poll),
        level,
        coverage_min: check.within("validate.coverage_min", raw.validate.coverage_min, 0.0, 1.0)?,
        mining,
        forced,
        journal_deadline: Duration::from_secs_f64(deadline),
        data_dir,
    })
}

/// The rules, with the layer that errors are reported for.
pub(super) struct Check {
    layer: Layer,
}

impl Check {
    pub(super) fn error(
        &self,
        key: &str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ConfigError {
        ConfigError::key(self.layer.clone(), key, problem, remedy)
    }

    /// A key that the defaults give; missing only if somebody broke them.
    pub(super) fn given<T>(&self, value: Option<T>, key: &str) -> Result<T, ConfigError> {
        value.ok_or_else(|| self.error(key, "missing", "set it"))
    }

    pub(super) fn within(
        &self,
        key: &str,
        value: Option<f64>,
        least: f64,
        most: f64,
    ) -> Result<f64, ConfigError> {
        let value = self.given(value, key)?;
        if (least..=most).contains(&value) {
            Ok(value)
        } else {
            Err(self.error(
                key,
                format!("{value} is out of range"),
                format!("give a number from {least} to {most}"),
            ))
        }
    }

    pub(super) fn whole(
        &self,
        key: &str,
        value: Option<i64>,
        least: u64,
        most: u64,
    ) -> Result<u64, ConfigError> {
        let value = self.given(value, key)?;
        u64::try_from(value)
            .ok()
            .filter(|value| (least..=most).contains(value))
            .ok_or_else(|| {
                self.error(
                    key,
                    format!("{value} is out of range"),
                    format!("give a number from {least} to {most}"),
                )
            })
    }

    /// A directory with a place of its own below data_dir unless it is set.
    fn directory(
        &self,
        given: Option<String>,
        key: &str,
        data_dir: &Path,
        default: &str,
    ) -> Result<PathBuf, ConfigError> {
        let Some(given) = given else {
            return Ok(data_dir.join(default));
        };
        let path = PathBuf::from(given);
        if path.is_absolute() {
            return Ok(path);
        }
        Err(self.error(
            key,
            format!("`{}` is not an absolute path", path.display()),
            "begin it with /",
        ))
    }

    /// The name becomes part of file names.
    fn node_id(&self, given: Option<String>) -> Result<String, ConfigError> {
        let id = given
            .or_else(|| nix::unistd::gethostname().ok()?.into_string().ok())
            .unwrap_or_else(|| "signalcore".into());
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !id.is_empty() && id.len() <= 64 && id.chars().all(plain) && !id.starts_with('.') {
            return Ok(id);
        }
        Err(self.error(
            "node_id",
            format!("`{id}` cannot be part of a file name"),
            "give up to 64 letters, digits, dots, dashes and underscores",
        ))
    }

    fn profile(&self, name: Option<&str>) -> Result<Option<Profile>, ConfigError> {
        match name {
            None => Ok(None),
            Some("production") => Ok(Some(Profile::Production)),
            Some("development") => Ok(Some(Profile::Development)),
            Some(other) => Err(self.choice("profile", other, "\"production\" or \"development\"")),
        }
    }

    fn listen(&self, address: &str) -> Result<Option<SocketAddr>, ConfigError> {
        if address.is_empty() {
            return Ok(None);
        }
        address.parse().map(Some).map_err(|error| {
            self.error(
                "api.listen",
                format!("`{address}` is not an address"),
                "give IP:PORT, as in \"127.0.0.1:9833\", or \"\" for no HTTP server",
            )
            .caused_by(error)
        })
    }

    fn resources(&self, raw: &raw::Resources) -> Result<ResourceLimits, ConfigError> {
        let share = |key: &str, value| self.within(key, value, 0.0, 1.0);
        Ok(ResourceLimits {
            memory_free_min: share("resources.memory_free_min", raw.memory_free_min)?,
            disk_free_min_bytes: (self.within(
                "resources.disk_free_min_mb",
                raw.disk_free_min_mb,
                0.0,
                1e9,
            )? * 1_048_576.0) as u64,
            descriptors_max: share("resources.descriptors_max", raw.descriptors_max)?,
            temperature_max_c: self.within(
                "resources.temperature_max_c",
                raw.temperature_max_c,
                20.0,
                150.0,
            )?,
            cpu_steal_max: share("resources.cpu_steal_max", raw.cpu_steal_max)?,
        })
    }

    fn network(&self, name: Option<&str>) -> Result<Network, ConfigError> {
        let name = name.ok_or_else(|| {
            self.error(
                "chain.network",
                "missing",
                "give main, testnet4, testnet3, signet or regtest; it is never guessed",
            )
        })?;
        name.parse().map_err(|_| {
            self.error(
                "chain.network",
                format!("unknown network `{name}`"),
                "give main, testnet4, testnet3, signet or regtest",
            )
        })
    }

    fn mining(
        &self,
        raw: raw::Mining,
        network: Network,
    ) -> Result<(Option<MinerSettings>, Forced), ConfigError> {
        if raw.enabled == Some(false) {
            return Ok((None, Forced::default()));
        }
        let address = raw.payout_address.ok_or_else(|| {
            self.error(
                "mining.payout_address",
                "missing",
                format!("give an address of yours on {network}, or set mining.enabled = false"),
            )
        })?;
        let payout = PayoutScript::parse(&address, network).map_err(|error| {
            self.error(
                "mining.payout_address",
                error.to_string(),
                format!("give an address of yours on {network}"),
            )
            .caused_by(error)
        })?;
        let tag = self.given(raw.coinbase_tag, "mining.coinbase_tag")?;
        let tag = CoinbaseTag::new(&tag).map_err(|error| {
            self.error("mining.coinbase_tag", error.to_string(), "shorten it")
                .caused_by(error)
        })?;
        let (layer, kernel_by, kernel) = if let Ok(name) = std::env::var("SIGNALCORE_KERNEL") {
            (Layer::Environment, "SIGNALCORE_KERNEL", name)
        } else {
            let name = self.given(raw.kernel, "mining.kernel")?;
            (self.layer.clone(), "mining.kernel", name)
        };
        let threads = self.given(raw.threads, "mining.threads")?;
        let forced = Forced {
            kernel: (kernel != "auto").then_some(kernel_by),
            threads: threads != OneOf::Word("auto".to_owned()),
        };
        let kernel = pow::kernel(&kernel).map_err(|error| {
            let problem = error.to_string();
            ConfigError::key(layer, kernel_by, problem, "give \"auto\" or one of those")
                .caused_by(error)
        })?;
        let threads = self.threads(&threads)?;

        let mut miner = MinerSettings::new(payout, tag, threads, kernel);
        miner.affinity = self.affinity(self.given(raw.affinity, "mining.affinity")?)?;
        miner.nice = self.nice(self.given(raw.nice, "mining.nice")?)?;
        miner.empty_first = self.given(raw.empty_first, "mining.empty_first")?;
        miner.version_rolling = match self
            .given(raw.version_rolling, "mining.version_rolling")?
            .as_str()
        {
            "auto" => VersionRolling::Auto,
            "on" => VersionRolling::On,
            "off" => VersionRolling::Off,
            other => {
                return Err(self.choice(
                    "mining.version_rolling",
                    other,
                    "\"auto\", \"on\" or \"off\"",
                ));
            }
        };
        let pacing = Pacing {
            mode: match self.given(raw.pace, "mining.pace")?.as_str() {
                "work" => PaceMode::Work,
                "sleep" => PaceMode::Sleep,
                other => return Err(self.choice("mining.pace", other, "\"work\" or \"sleep\"")),
            },
            interval: self
                .interval(&self.given(raw.block_interval_s, "mining.block_interval_s")?)?,
        };
        miner.pacing = (network == Network::Regtest).then_some(pacing);
        miner.during_ibd = match self.given(raw.during_ibd, "mining.during_ibd")? {
            OneOf::Flag(flag) => flag,
            OneOf::Word(word) if word == "auto" => network == Network::Regtest,
            OneOf::Word(word) if word == "true" => true,
            OneOf::Word(word) if word == "false" => false,
            other => {
                return Err(self.choice(
                    "mining.during_ibd",
                    &shown(&other),
                    "\"auto\", true or false",
                ));
            }
        };
        miner.power_cost = self.power_cost(raw.power_watts, raw.power_sat_per_kwh)?;
        Ok((Some(miner), forced))
    }

    /// Only where both are given may economics hold hashing.
    fn power_cost(
        &self,
        watts: Option<f64>,
        price: Option<f64>,
    ) -> Result<Option<PowerCost>, ConfigError> {
        const KEYS: [&str; 2] = ["mining.power_watts", "mining.power_sat_per_kwh"];
        let missing = match (watts, price) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Ok(Some(PowerCost {
                    watts: self.within(KEYS[0], watts, 0.0, 1e9)?,
                    sat_per_kwh: self.within(KEYS[1], price, 0.0, 1e12)?,
                }));
            }
            (None, Some(_)) => KEYS[0],
            (Some(_), None) => KEYS[1],
        };
        let remedy = "give both keys of the power's cost, or neither";
        Err(self.error(missing, "missing", remedy))
    }

    fn threads(&self, value: &OneOf) -> Result<usize, ConfigError> {
        const KEY: &str = "mining.threads";
        let number = match value {
            OneOf::Word(word) if word == "auto" => {
                let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
                return Ok(cpus.min(MAX_THREADS));
            }
            OneOf::Whole(number) => Some(*number),
            OneOf::Word(word) => word.parse().ok(),
            OneOf::Flag(_) | OneOf::Number(_) => None,
        };
        number
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| (1..=MAX_THREADS).contains(number))
            .ok_or_else(|| self.choice(KEY, &shown(value), "\"auto\" or a number from 1 to 1024"))
    }

    fn affinity(&self, value: Cpus) -> Result<Affinity, ConfigError> {
        let (cpus, given) = match value {
            Cpus::Word(word) if word == "auto" => return Ok(Affinity::Auto),
            Cpus::Word(word) if word == "none" => return Ok(Affinity::None),
            Cpus::Word(word) => (parse_cpus(&word), word),
            Cpus::List(list) => {
                let cpu =
                    |number: &i64| usize::try_from(*number).ok().filter(|cpu| *cpu < MAX_CPUS);
                (list.iter().map(cpu).collect(), format!("{list:?}"))
            }
        };
        let choices = format!(
            "\"auto\", \"none\" or CPU numbers from 0 to {}, as in [0, 2] or \"0-3,8\"",
            MAX_CPUS - 1
        );
        cpus.filter(|cpus: &Vec<usize>| !cpus.is_empty())
            .map(Affinity::Cpus)
            .ok_or_else(|| self.choice("mining.affinity", &given, &choices))
    }

    fn nice(&self, value: i64) -> Result<i32, ConfigError> {
        i32::try_from(value)
            .ok()
            .filter(|nice| (-20..=19).contains(nice))
            .ok_or_else(|| {
                self.error(
                    "mining.nice",
                    format!("{value} is out of range"),
                    "give a number from -20 to 19; below 0 needs a privilege",
                )
            })
    }

    fn interval(&self, value: &OneOf) -> Result<Interval, ConfigError> {
        shown(value).parse().map_err(|_| {
            self.choice(
                "mining.block_interval_s",
                &shown(value),
                "seconds, 0 or more, or \"poisson:SECONDS\"",
            )
        })
    }

    pub(super) fn choice(&self, key: &str, given: &str, choices: &str) -> ConfigError {
        self.error(
            key,
            format!("`{given}` is not possible"),
            format!("give {choices}"),
        )
    }
}

fn shown(value: &OneOf) -> String {
    match value {
        OneOf::Flag(flag) => flag.to_string(),
        OneOf::Whole(number) => number.to_string(),
        OneOf::Number(number) => number.to_string(),
        OneOf::Word(word) => word.clone(),
    }
}

#[cfg(test)]
mod tests;
