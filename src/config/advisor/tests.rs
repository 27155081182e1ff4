//! What `[advisor]` may say.

#![allow(clippy::unwrap_used)]

use super::super::Settings;
use super::super::layers;
use super::super::validate::settings;
use super::*;

fn load(mining: &str, advisor: &str) -> Result<Settings, String> {
    let text = format!(
        "[chain]\nnetwork = \"regtest\"\n[[node]]\nrpc_url = \"http://127.0.0.1:18443\"\n\
         cookie_file = \"/nonexistent/.cookie\"\n[mining]\n{mining}\n\
         payout_address = \"bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080\"\n[advisor]\n{advisor}\n"
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.toml");
    std::fs::write(&path, text).unwrap();
    let raw = layers::merge(Some(&path), []).map_err(|error| error.to_string())?;
    settings(raw, Some(&path)).map_err(|error| error.to_string())
}

#[test]
fn by_default_the_built_in_advisor_is_asked_once_per_question_and_nobody_waits_for_it() {
    let settings = load("", "").unwrap();
    let advisor = settings.advisor.unwrap();
    assert_eq!(advisor.command, ["builtin"]);
    assert_eq!(advisor.mode, Mode::OneShot);
    assert_eq!(advisor.patience.attempts, 3);
    assert_eq!(advisor.limits.memory_bytes, 1 << 30);
    assert_eq!(advisor.limits.niceness, 19, "mining comes first");
    assert_eq!(advisor.dir, settings.data_dir.join("advisor"));
    let miner = settings.mining.unwrap();
    assert_eq!(miner.limits, Limits::default());
    assert_eq!(miner.gate, None);
    assert_eq!(miner.power_cost, None);
}

#[test]
fn it_is_told_the_limits_that_this_program_keeps_to() {
    let settings = load("", "[resources]\ntemperature_max_c = 71.0").unwrap();
    let told = settings.advisor.unwrap().resources;
    assert_eq!(told, settings.resources);
    assert!((told.temperature_max_c - 71.0).abs() < 1e-9, "{told:?}");
}

#[test]
fn an_empty_command_is_no_advisor_and_without_mining_none_is_needed() {
    let none = load("", "command = []\nhold_max_s = 5.0\ngate = \"blocking\"").unwrap();
    assert!(none.advisor.is_none());
    let miner = none.mining.unwrap();
    assert_eq!(miner.gate, None, "nobody to wait for");
    assert_eq!(miner.limits.hold_max, Duration::from_secs(5));
    let verifies = load("enabled = false", "command = [\"builtin\"]").unwrap();
    assert!(verifies.advisor.is_none());
}

#[test]
fn a_blocking_gate_waits_as_long_as_a_question_may_take() {
    let settings = load("", "gate = \"blocking\"\ndeadline_s = 7.5").unwrap();
    let gate = settings.mining.unwrap().gate;
    assert_eq!(gate, Some(Duration::from_secs_f64(7.5)));
}

#[test]
fn values_out_of_range_name_their_key() {
    for (line, key) in [
        ("command = [\"\"]", "advisor.command"),
        ("mode = \"both\"", "advisor.mode"),
        ("gate = \"open\"", "advisor.gate"),
        ("timeout_s = 0.0", "advisor.timeout_s"),
        ("attempts = 0", "advisor.attempts"),
        ("deadline_s = -1.0", "advisor.deadline_s"),
        ("cache_s = 0.0", "advisor.cache_s"),
        ("pause_s = -1.0", "advisor.pause_s"),
        ("hold_max_s = -1.0", "advisor.hold_max_s"),
        ("hold_max_ratio = 1.1", "advisor.hold_max_ratio"),
        ("confidence_floor = -0.1", "advisor.confidence_floor"),
        ("memory_mb = -1", "advisor.memory_mb"),
        ("cpu_s = -1", "advisor.cpu_s"),
        ("tasks = -1", "advisor.tasks"),
        ("open_files = -1", "advisor.open_files"),
        ("file_mb = -1", "advisor.file_mb"),
        ("nice = -1", "advisor.nice"),
        ("readable = [\"models\"]", "advisor.readable"),
        ("pace = 1", "advisor.pace"),
    ] {
        let message = load("", line).expect_err(line);
        assert!(message.contains(key), "{line}: {message}");
    }
}

#[test]
fn the_cost_of_power_is_two_numbers_or_none() {
    let both = "power_watts = 3500.0\npower_sat_per_kwh = 120.0";
    let cost = load(both, "").unwrap().mining.unwrap().power_cost.unwrap();
    assert_eq!((cost.watts, cost.sat_per_kwh), (3500.0, 120.0));
    let message = load("power_watts = 3500.0", "").unwrap_err();
    assert!(message.contains("mining.power_sat_per_kwh"), "{message}");
    let message = load("power_sat_per_kwh = 120.0", "").unwrap_err();
    assert!(message.contains("mining.power_watts"), "{message}");
}
