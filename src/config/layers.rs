//! Defaults, file, environment and flags, each read strictly on its own, then laid over one another.
//!
//! Each layer is first decoded alone, so that an error names the layer and the key. The merging is
//! the `config` crate's; its `try_parsing` stays off, since it turns strings such as `007e1` into
//! numbers.

use std::collections::HashMap;
use std::path::Path;

use config::{Environment, File, FileFormat};

use super::error::{ConfigError, Layer};
use super::raw::Raw;

/// The shipped `config/default.toml`: documentation of every key, and the bottom layer.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Top-level keys that an environment variable may set without a table.
const PLAIN_KEYS: [&str; 5] = ["node_id", "data_dir", "runtime_dir", "log_dir", "profile"];

/// Reads and merges the layers. `environment` is given, not taken, so that tests need not change the
/// process's own.
///
/// # Errors
/// A file that cannot be read or is no TOML, an unknown key, a value of the wrong type.
pub fn merge(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Raw, ConfigError> {
    let mut builder =
        config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError::file(
                path,
                format!("cannot read the configuration: {error}"),
                "give an existing, readable file with --config, or write one with `signalcore config init`",
            )
            .caused_by(error)
        })?;
        strict(&text, &Layer::File(path.to_owned()))?;
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let variables = relevant(environment)?;
    if !variables.is_empty() {
        let source = || {
            Environment::with_prefix("SIGNALCORE")
                .prefix_separator("_")
                .separator("__")
                .source(Some(variables.clone()))
        };
        let alone = config::Config::builder().add_source(source()).build();
        decode(alone, &Layer::Environment)?;
        builder = builder.add_source(source());
    }
    decode(builder.build(), &Layer::Merged(file.map(Path::to_owned)))
}

/// The variables that name configuration keys. Others with our prefix (`SIGNALCORE_KERNEL`,
/// `SIGNALCORE_LOG`) have meanings of their own.
fn relevant(
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<HashMap<String, String>, ConfigError> {
    let mut variables = HashMap::new();
    for (name, value) in environment {
        let Some(key) = name.strip_prefix("SIGNALCORE_") else {
            continue;
        };
        let key = key.to_lowercase();
        if key == "node" || key.starts_with("node__") {
            return Err(ConfigError::key(
                Layer::Environment,
                &name,
                "nodes and their credentials cannot be set from the environment",
                "write a [[node]] table in the configuration file",
            ));
        }
        if key.contains("__") || PLAIN_KEYS.contains(&key.as_str()) {
            variables.insert(name, value);
        }
    }
    Ok(variables)
}

/// Decodes one TOML text with types checked strictly: `"16000"` is no number here.
fn strict(text: &str, layer: &Layer) -> Result<Raw, ConfigError> {
    let deserializer = toml::Deserializer::parse(text).map_err(|error| ConfigError {
        layer: layer.clone(),
        key: None,
        problem: format!("not valid TOML: {}", error.to_string().trim_end()),
        remedy: "correct the line shown".into(),
        source: None,
    })?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let key = error.path().to_string();
        explain(layer, &key, error.inner().message())
    })
}

fn decode(
    built: Result<config::Config, config::ConfigError>,
    layer: &Layer,
) -> Result<Raw, ConfigError> {
    let config = built.map_err(|error| ConfigError {
        layer: layer.clone(),
        key: None,
        problem: error.to_string(),
        remedy: "correct it and try again".into(),
        source: None,
    })?;
    serde_path_to_error::deserialize(config).map_err(|error| {
        let key = error.path().to_string();
        explain(layer, &key, &error.inner().to_string())
    })
}

/// Turns serde's words into ours: the full key, and the nearest known one for an unknown key.
fn explain(layer: &Layer, path: &str, message: &str) -> ConfigError {
    let first_line = message.lines().next().unwrap_or(message);
    if let Some(rest) = first_line.strip_prefix("unknown field `")
        && let Some((unknown, known)) = rest.split_once('`')
    {
        let key = match path.strip_suffix(unknown) {
            Some(_) => path.to_owned(),
            None if path == "." || path.is_empty() => unknown.to_owned(),
            None => format!("{path}.{unknown}"),
        };
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let remedy = match nearest(unknown, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        return ConfigError::key(layer.clone(), &key, "unknown key", remedy);
    }
    ConfigError::key(
        layer.clone(),
        path,
        format!("wrong value: {first_line}"),
        "`signalcore config init` prints every key with its type and default",
    )
}

fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), *candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file_with(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.toml");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    fn error_of(text: &str) -> String {
        let (_dir, path) = file_with(text);
        merge(Some(&path), []).unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_defaults_are_strictly_valid() {
        strict(DEFAULTS, &Layer::Merged(None)).unwrap();
    }

    #[test]
    fn every_key_stands_in_the_shipped_defaults() {
        let raw = merge(None, []).unwrap();
        let all = serde_json::to_value(raw).unwrap();
        let mut names = Vec::new();
        collect(&all, &mut names);
        names.extend(
            [
                "name",
                "rpc_url",
                "cookie_file",
                "rpc_user",
                "rpc_password_file",
            ]
            .map(str::to_owned),
        );
        names.extend(["zmq_hashblock", "zmq_rawblock", "zmq_sequence"].map(str::to_owned));
        for name in names {
            assert!(
                DEFAULTS.contains(&name),
                "{name} is missing in config/default.toml"
            );
        }
    }

    fn collect(value: &serde_json::Value, names: &mut Vec<String>) {
        if let serde_json::Value::Object(map) = value {
            for (name, inner) in map {
                names.push(name.clone());
                collect(inner, names);
            }
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_its_file_and_the_nearest_known_one() {
        let message = error_of("[mining]\npayout_adress = \"x\"\n");
        assert!(message.contains("test.toml"), "{message}");
        assert!(
            message.contains("mining.payout_adress: unknown key"),
            "{message}"
        );
        assert!(
            message.contains("did you mean `payout_address`?"),
            "{message}"
        );
    }

    #[test]
    fn an_unknown_table_is_named() {
        let message = error_of("[minning]\nenabled = true\n");
        assert!(message.contains("minning: unknown key"), "{message}");
        assert!(message.contains("`mining`"), "{message}");
    }

    #[test]
    fn a_value_of_the_wrong_type_names_its_key() {
        let message = error_of("[validate]\nlevel = \"many\"\n");
        assert!(message.contains("validate.level: wrong value"), "{message}");
        let message = error_of("[validate]\nlevel = \"16000\"\n");
        assert!(
            message.contains("validate.level"),
            "a string is no number: {message}"
        );
    }

    #[test]
    fn text_that_is_no_toml_shows_the_line() {
        let message = error_of("[mining\n");
        assert!(message.contains("not valid TOML"), "{message}");
    }

    #[test]
    fn a_missing_file_says_what_to_do() {
        let message = merge(Some(Path::new("/nonexistent/x.toml")), [])
            .unwrap_err()
            .to_string();
        assert!(message.contains("/nonexistent/x.toml"), "{message}");
        assert!(message.contains("config init"), "{message}");
    }

    #[test]
    fn the_environment_lies_over_the_file_and_strings_stay_strings() {
        let (_dir, path) = file_with("node_id = \"a\"\n[mining]\ncoinbase_tag = \"x\"\n");
        let environment = [
            (
                "SIGNALCORE_MINING__COINBASE_TAG".to_owned(),
                "007e1".to_owned(),
            ),
            ("SIGNALCORE_VALIDATE__LEVEL".to_owned(), "144".to_owned()),
            ("SIGNALCORE_NODE_ID".to_owned(), "b".to_owned()),
            ("SIGNALCORE_KERNEL".to_owned(), "scalar".to_owned()),
            ("HOME".to_owned(), "/root".to_owned()),
        ];
        let raw = merge(Some(&path), environment).unwrap();
        assert_eq!(raw.mining.coinbase_tag.as_deref(), Some("007e1"));
        assert_eq!(raw.validate.level, Some(144));
        assert_eq!(raw.node_id.as_deref(), Some("b"));
    }

    #[test]
    fn a_wrong_environment_variable_is_named_as_such() {
        let environment = [("SIGNALCORE_VALIDATE__LEVEL".to_owned(), "many".to_owned())];
        let message = merge(None, environment).unwrap_err().to_string();
        assert!(message.contains("environment: validate.level"), "{message}");
    }

    #[test]
    fn credentials_are_refused_from_the_environment() {
        let environment = [(
            "SIGNALCORE_NODE__RPC_PASSWORD_FILE".to_owned(),
            "x".to_owned(),
        )];
        assert!(merge(None, environment).is_err());
    }
}
