//! What the keys mean and which values they may have.

use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::miner::{Interval, MinerSettings, PaceMode, Pacing, VersionRolling};
use chain::{CoinbaseTag, Network, PayoutScript};

use super::error::{ConfigError, Layer};
use super::raw::{self, OneOf, Raw};
use super::{Settings, nodes};

/// Checks a merged configuration.
///
/// # Errors
/// The first rule that is broken.
pub fn settings(raw: Raw, file: Option<&Path>) -> Result<Settings, ConfigError> {
    let check = Check {
        layer: Layer::Merged(file.map(Path::to_owned)),
    };
    let without_effect = raw.without_effect();
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
    Ok(Settings {
        without_effect,
        runtime_dir: raw
            .runtime_dir
            .map_or_else(|| data_dir.join("run"), PathBuf::from),
        network,
        nodes: nodes::nodes(&raw.node, &check.layer)?,
        poll_interval: Duration::from_secs_f64(poll),
        level,
        coverage_min: check.within("validate.coverage_min", raw.validate.coverage_min, 0.0, 1.0)?,
        mining: check.mining(raw.mining, network)?,
        journal_deadline: Duration::from_secs_f64(deadline),
        data_dir,
    })
}

/// The rules, with the layer that errors are reported for.
struct Check {
    layer: Layer,
}

impl Check {
    fn error(
        &self,
        key: &str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ConfigError {
        ConfigError::key(self.layer.clone(), key, problem, remedy)
    }

    /// A key that the defaults give; missing only if somebody broke them.
    fn given<T>(&self, value: Option<T>, key: &str) -> Result<T, ConfigError> {
        value.ok_or_else(|| self.error(key, "missing", "set it"))
    }

    fn within(
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
    ) -> Result<Option<MinerSettings>, ConfigError> {
        if raw.enabled == Some(false) {
            return Ok(None);
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
        let kernel = std::env::var("SIGNALCORE_KERNEL").ok().or(raw.kernel);
        let kernel = pow::kernel(&self.given(kernel, "mining.kernel")?).map_err(|error| {
            self.error(
                "mining.kernel",
                error.to_string(),
                "give \"auto\" or one of those",
            )
            .caused_by(error)
        })?;
        let threads = self.threads(&self.given(raw.threads, "mining.threads")?)?;

        let mut miner = MinerSettings::new(payout, tag, threads, kernel);
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
        Ok(Some(miner))
    }

    fn threads(&self, value: &OneOf) -> Result<usize, ConfigError> {
        const KEY: &str = "mining.threads";
        let number = match value {
            OneOf::Word(word) if word == "auto" => {
                return Ok(std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
            }
            OneOf::Whole(number) => Some(*number),
            OneOf::Word(word) => word.parse().ok(),
            OneOf::Flag(_) | OneOf::Number(_) => None,
        };
        number
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| (1..=1024).contains(number))
            .ok_or_else(|| self.choice(KEY, &shown(value), "\"auto\" or a number from 1 to 1024"))
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

    fn choice(&self, key: &str, given: &str, choices: &str) -> ConfigError {
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

    /// A usable configuration on regtest, with lines of a test's own in front of and inside `[mining]`.
    fn load(network: &str, top: &str, mining: &str) -> Result<Settings, String> {
        let text = format!(
            "{top}\n[chain]\nnetwork = \"{network}\"\n[[node]]\nrpc_url = \"http://127.0.0.1:18443\"\n\
             cookie_file = \"/nonexistent/.cookie\"\n[mining]\n{mining}\n"
        );
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.toml");
        std::fs::write(&path, text).unwrap();
        let raw =
            super::super::layers::merge(Some(&path), []).map_err(|error| error.to_string())?;
        settings(raw, Some(&path)).map_err(|error| error.to_string())
    }

    fn payout() -> String {
        format!("payout_address = \"{ADDRESS}\"")
    }

    fn refused(network: &str, top: &str, mining: &str) -> String {
        load(network, top, mining).expect_err("it must be refused")
    }

    #[test]
    fn the_defaults_and_the_four_things_nobody_can_guess_make_a_configuration() {
        let settings = load("regtest", "", &payout()).unwrap();
        let miner = settings.mining.unwrap();
        assert_eq!(settings.level, 16_000);
        assert!(
            miner.during_ibd,
            "a fresh regtest node always reports a download"
        );
        assert_eq!(miner.pacing.unwrap().interval, Interval::Fixed(1.0));
        assert_eq!(settings.runtime_dir, settings.data_dir.join("run"));
    }

    #[test]
    fn a_missing_payout_address_is_never_guessed() {
        let message = refused("regtest", "", "");
        assert!(
            message.contains("test.toml: mining.payout_address: missing"),
            "{message}"
        );
    }

    #[test]
    fn an_address_of_another_network_is_refused_with_both_networks() {
        let message = refused("signet", "", &payout());
        assert!(message.contains("mining.payout_address"), "{message}");
        assert!(
            message.contains("regtest") && message.contains("signet"),
            "{message}"
        );
    }

    #[test]
    fn verification_alone_needs_no_address() {
        assert!(
            load("main", "", "enabled = false")
                .unwrap()
                .mining
                .is_none()
        );
    }

    #[test]
    fn values_out_of_range_name_key_and_range() {
        let with = |line: &str| refused("regtest", "", &format!("{}\n{line}", payout()));
        for (line, key) in [
            ("threads = 0", "mining.threads"),
            ("threads = \"many\"", "mining.threads"),
            ("block_interval_s = -1", "mining.block_interval_s"),
            (
                "block_interval_s = \"poisson:x\"",
                "mining.block_interval_s",
            ),
            ("pace = \"slow\"", "mining.pace"),
            ("version_rolling = \"maybe\"", "mining.version_rolling"),
            ("during_ibd = 3", "mining.during_ibd"),
            ("kernel = \"abacus\"", "mining.kernel"),
            ("[ingest]\npoll_interval_s = 0.0", "ingest.poll_interval_s"),
            ("[validate]\nlevel = 0", "validate.level"),
            ("[validate]\ncoverage_min = 1.5", "validate.coverage_min"),
            ("[journal]\ndeadline_s = 60.0", "journal.deadline_s"),
        ] {
            let message = with(line);
            assert!(message.contains(key), "{line}: {message}");
        }
    }

    #[test]
    fn a_network_must_be_given_and_known() {
        assert!(refused("mainnet", "", &payout()).contains("chain.network: unknown network"));
    }

    #[test]
    fn paces_are_for_regtest_alone() {
        let settings = load(
            "signet",
            "",
            "payout_address = \"tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx\"",
        )
        .unwrap();
        assert_eq!(settings.mining.unwrap().pacing, None);
    }

    #[test]
    fn what_has_no_effect_yet_is_read_strictly_and_named() {
        let with = |table: &str| load("regtest", "", &format!("{}\n{table}", payout()));
        let settings = with("[advisor]\ncommand = []\n[api]\nlisten = \"\"").unwrap();
        assert_eq!(settings.without_effect, ["[advisor]", "[api]"]);
        let named = load("regtest", "node_id = \"home\"\nlog_dir = \"/x\"", &payout()).unwrap();
        assert_eq!(named.without_effect, ["node_id", "log_dir"]);
        assert!(with("").unwrap().without_effect.is_empty());
        assert!(
            with("[api]\nlistn = \"\"")
                .unwrap_err()
                .contains("api.listn: unknown key")
        );
    }

    #[test]
    fn a_relative_state_directory_is_refused() {
        assert!(refused("regtest", "data_dir = \"state\"", &payout()).contains("data_dir"));
    }
}
