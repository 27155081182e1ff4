//! The rules of configuration values.

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
    let raw = super::super::layers::merge(Some(&path), []).map_err(|error| error.to_string())?;
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
        ("affinity = \"some\"", "mining.affinity"),
        ("affinity = []", "mining.affinity"),
        ("affinity = [0, -1]", "mining.affinity"),
        ("affinity = [1024]", "mining.affinity"),
        ("nice = 20", "mining.nice"),
        ("nice = -21", "mining.nice"),
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
fn threads_are_tied_to_cpus_by_a_word_a_list_or_the_systems_notation() {
    let of = |line: &str| {
        let text = format!("{}\n{line}", payout());
        load("regtest", "", &text).unwrap().mining.unwrap().affinity
    };
    assert_eq!(of(""), Affinity::Auto);
    assert_eq!(of("affinity = \"none\""), Affinity::None);
    assert_eq!(of("affinity = [2, 0]"), Affinity::Cpus(vec![2, 0]));
    assert_eq!(of("affinity = \"0-2,5\""), Affinity::Cpus(vec![0, 1, 2, 5]));
    let nice = load("regtest", "", &format!("{}\nnice = -5", payout()));
    assert_eq!(nice.unwrap().mining.unwrap().nice, -5);
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
fn directories_have_a_place_below_data_dir_unless_they_are_set() {
    let settings = load("regtest", "data_dir = \"/srv/x\"", &payout()).unwrap();
    assert_eq!(settings.runtime_dir, Path::new("/srv/x/run"));
    assert_eq!(settings.log_dir, Path::new("/srv/x/log"));
    let set = "runtime_dir = \"/run/x\"\nlog_dir = \"/var/log/x\"";
    let settings = load("regtest", set, &payout()).unwrap();
    assert_eq!(settings.runtime_dir, Path::new("/run/x"));
    assert_eq!(settings.log_dir, Path::new("/var/log/x"));
    let error = load("regtest", "log_dir = \"log\"", &payout()).unwrap_err();
    assert!(error.contains("log_dir"), "{error}");
}

#[test]
fn what_becomes_part_of_file_names_is_plain() {
    let named = |id: &str| load("regtest", &format!("node_id = \"{id}\""), &payout());
    assert_eq!(named("rack-2.home_1").unwrap().node_id, "rack-2.home_1");
    for id in ["", "../x", ".x", "a b", "a/b"] {
        assert!(named(id).unwrap_err().contains("node_id"), "{id}");
    }
}

#[test]
fn the_address_of_the_http_server_can_be_switched_off_and_is_never_guessed() {
    let listen = |address: &str| {
        load(
            "regtest",
            "",
            &format!("{}\n[api]\nlisten = \"{address}\"", payout()),
        )
    };
    let port = listen("127.0.0.1:1234").unwrap().api_listen.unwrap().port();
    assert_eq!(port, 1234);
    assert_eq!(listen("").unwrap().api_listen, None);
    assert!(listen("localhost").unwrap_err().contains("api.listen"));
}

#[test]
fn a_profile_is_one_of_two() {
    let profile = |name: &str| load("regtest", &format!("profile = \"{name}\""), &payout());
    assert_eq!(
        profile("production").unwrap().profile,
        Some(Profile::Production)
    );
    assert_eq!(load("regtest", "", &payout()).unwrap().profile, None);
    assert!(profile("loud").unwrap_err().contains("profile"));
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let with = |table: &str| load("regtest", "", &format!("{}\n{table}", payout()));
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
