//! The whole program on a machine that runs out of something.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::node::Node;
use common::program::{Home, Running};
use common::scenarios::paced;
use common::until;
use serde_json::{Value, json};

/// Mounts a small file system over a directory, fills it where asked to, and goes on as the program.
const ON_A_SMALL_DISK: &str = r#"
mount -t tmpfs -o size=4m tmpfs "$1" || exit 9
if [ "$2" = full ]; then dd if=/dev/zero of="$1/fill" bs=4096 2>/dev/null; fi
shift 2
exec "$@"
"#;

/// A home whose state directory can be put on a disk of its own, everything else beside it.
fn home(node: &Node, interval_s: f64) -> Home {
    let home = Home::new(node, &paced(interval_s), true);
    let dir = home.data_dir().parent().unwrap().to_owned();
    let text = fs::read_to_string(home.config()).unwrap();
    let beside = format!(
        "runtime_dir = \"{0}/run\"\nlog_dir = \"{0}/log\"\n{text}\n[resources]\ndisk_free_min_mb = 1.0\n",
        dir.display()
    );
    fs::write(home.config(), beside).unwrap();
    fs::create_dir(home.data_dir()).unwrap();
    home
}

/// Starts it with the state directory on a disk of 4 MiB. None, with a word of it, where mounting is
/// not allowed.
fn start_on_a_small_disk(home: &Home, filling: &str) -> Option<Running> {
    let allowed = Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "tmpfs"])
        .arg(home.data_dir())
        .output()
        .is_ok_and(|output| output.status.success());
    if !allowed {
        eprintln!("skipped: no file system may be mounted here (unshare -rm)");
        return None;
    }
    let mut through = Command::new("unshare");
    through
        .args(["-rm", "sh", "-c", ON_A_SMALL_DISK, "sh"])
        .arg(home.data_dir())
        .arg(filling);
    Some(home.start_through(&mut through))
}

/// The state directory as the program sees it.
fn seen_by(running: &Running, home: &Home) -> PathBuf {
    let inside = home.data_dir();
    Path::new("/proc")
        .join(running.pid().to_string())
        .join("root")
        .join(inside.strip_prefix("/").unwrap())
}

/// The journal as the program sees it.
fn journal(home: &Home, data_dir: &Path) -> Vec<Value> {
    let text = fs::read_to_string(home.config()).unwrap();
    let inside = format!("data_dir = \"{}\"", home.data_dir().display());
    let outside = format!("data_dir = \"{}\"", data_dir.display());
    let config = home.config().with_file_name("outside.toml");
    fs::write(&config, text.replace(&inside, &outside)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_signalcore"))
        .args(["journal", "list", "--json", "--config"])
        .arg(config)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn until_said(home: &Home, what: &str) {
    let said = std::panic::catch_unwind(|| {
        until(what, || home.log().contains(what).then_some(()));
    });
    said.unwrap_or_else(|_| panic!("not said: {what}\n{}", home.log()));
}

/// The hash of a block that the journal did not take in time.
fn unjournalled(home: &Home) -> String {
    until("a block that the journal did not take", || {
        let log = home.log();
        let line = log
            .lines()
            .find(|line| line.contains("the journal did not take a found block"))?;
        let hash = line.split("hash=").nth(1)?.get(..64)?;
        Some(hash.to_owned())
    })
}

fn until_accepted(home: &Home, blocks: u64) {
    home.until_status(&format!("{blocks} blocks accepted"), |status| {
        (status["blocks"]["accepted"].as_u64()? >= blocks).then_some(())
    });
}

/// Waits until an alert of this resource is shown.
fn until_alert(home: &Home, resource: &str) -> Value {
    home.until_status(&format!("an alert: {resource}"), |status| {
        let alerts = status["alerts"].as_array()?;
        alerts
            .iter()
            .find(|alert| alert["resource"] == resource)
            .cloned()
    })
}

fn until_known_to_the_node(node: &Node, hash: &str) {
    until("the node has the block", || {
        let header = node.rpc("getblockheader", json!([hash])).ok()?;
        (header["confirmations"].as_i64()? >= 1).then_some(())
    });
}

fn fill(data_dir: &Path) {
    let mut file = File::create(data_dir.join("fill")).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

/// Stops it; what was found was accepted.
fn stops_well(running: Running, home: &Home) {
    let (status, last) = running.stop();
    assert!(status.success(), "{status}\n{}", home.log());
    assert_eq!(last["blocks_found"], last["blocks_accepted"], "{last}");
    assert_eq!(last["restarts"], 0, "{last}\n{}", home.log());
}

#[test]
fn a_block_found_while_the_disk_is_full_is_submitted_and_written_when_there_is_room() {
    let node = Node::devnode();
    let home = home(&node, 0.5);
    let Some(running) = start_on_a_small_disk(&home, "empty") else {
        return;
    };
    let data_dir = seen_by(&running, &home);
    until_accepted(&home, 2);
    fill(&data_dir);

    let hash = unjournalled(&home);
    until_known_to_the_node(&node, &hash);
    let alert = until_alert(&home, "disk");
    assert_eq!(alert["critical"], true, "{alert}");
    home.until_status("status.json is given up", |status| {
        (status["degradation"] == "trimmed").then_some(())
    });

    fs::remove_file(data_dir.join("fill")).unwrap();
    until_said(&home, "the journal of found blocks can be written again");
    until("the block is in the journal", || {
        let journal = journal(&home, &data_dir);
        let entry = journal.iter().find(|entry| entry["hash"] == *hash)?;
        (entry["state"] == "accepted").then_some(())
    });
    home.until_status("nothing is scarce any more", |status| {
        let quiet = status["alerts"].as_array()?.is_empty();
        (quiet && status["degradation"] == "none").then_some(())
    });
    stops_well(running, &home);
    until_said(&home, "saved ");
}

#[test]
fn it_starts_on_a_full_disk_mines_and_stops() {
    let node = Node::devnode();
    let home = home(&node, 0.2);
    let Some(running) = start_on_a_small_disk(&home, "full") else {
        return;
    };
    until_accepted(&home, 3);
    assert_eq!(until_alert(&home, "disk")["critical"], true);
    let (status, last) = running.stop();
    // "Try later": what it knows of its blocks is not on disk.
    assert_eq!(status.code(), Some(75), "{}", home.log());
    assert_eq!(last["blocks_found"], last["blocks_accepted"], "{last}");
    until_said(&home, "the statistics of this run are not saved");
}

/// In place of the C library's own: as long as a file is there, nothing gets to disk.
const STALLING: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
static void stall(void) {
    const char *flag = getenv("STALL_WHILE");
    while (flag && access(flag, F_OK) == 0) usleep(20000);
}
int fdatasync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    stall();
    return real(fd);
}
int fsync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    stall();
    return real(fd);
}
"#;

/// Starts it on a disk that stalls while `flag` is there: its calls of fsync and fdatasync do not return.
fn start_on_a_stalling_disk(home: &Home, flag: &Path) -> Option<Running> {
    let source = home.config().with_file_name("stall.c");
    let library = home.config().with_file_name("stall.so");
    fs::write(&source, STALLING).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .output()
        .is_ok_and(|output| output.status.success());
    if !built {
        eprintln!("skipped: cc makes no shared library here");
        return None;
    }
    let mut through = Command::new("env");
    through
        .arg(format!("LD_PRELOAD={}", library.display()))
        .arg(format!("STALL_WHILE={}", flag.display()));
    Some(home.start_through(&mut through))
}

#[test]
fn a_block_found_while_the_disk_stalls_is_submitted_and_written_when_it_answers() {
    let node = Node::devnode();
    let home = home(&node, 0.5);
    let flag = home.config().with_file_name("stall");
    let Some(running) = start_on_a_stalling_disk(&home, &flag) else {
        return;
    };
    until_accepted(&home, 2);
    fs::write(&flag, b"").unwrap();
    let hash = unjournalled(&home);
    until_known_to_the_node(&node, &hash);
    let accepted = home.until_status("it answers", |status| status["blocks"]["accepted"].as_u64());
    until_accepted(&home, accepted + 3);
    let alert = until_alert(&home, "disk");
    assert!(
        alert["message"].as_str().unwrap().contains("not answered"),
        "{alert}"
    );
    fs::remove_file(&flag).unwrap();
    until_said(&home, "the journal has the block now");
    home.until_entry("the block is in the journal", &hash, |entry| {
        entry["state"] == "accepted"
    });
    stops_well(running, &home);
}

#[test]
fn a_stop_does_not_wait_for_a_disk_that_stalls_for_ever() {
    let node = Node::devnode();
    let home = home(&node, 0.3);
    let flag = home.config().with_file_name("stall");
    let Some(running) = start_on_a_stalling_disk(&home, &flag) else {
        return;
    };
    until_accepted(&home, 1);
    fs::write(&flag, b"").unwrap();
    unjournalled(&home);
    // That it ends at all is the point: the flag stays.
    let (status, last) = running.stop();
    assert_eq!(status.code(), Some(75), "{}", home.log());
    assert!(last["blocks_accepted"].as_u64().unwrap() >= 1, "{last}");
    let log = home.log();
    assert!(log.contains("are not saved"), "{log}");
}

#[test]
fn clients_get_no_descriptor_of_the_reserve_and_mining_goes_on() {
    let mut node = Node::devnode();
    let home = home(&node, 0.3);
    let limited = Command::new("prlimit")
        .args(["--nofile=110:110", "true"])
        .output();
    if !limited.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no prlimit here");
        return;
    }
    let mut through = Command::new("prlimit");
    through.arg("--nofile=110:110");
    let running = home.start_through(&mut through);
    until_accepted(&home, 2);

    let socket = home.config().with_file_name("run").join("control.sock");
    let mut clients: Vec<UnixStream> = (0..60)
        .map_while(|_| UnixStream::connect(&socket).ok())
        .collect();
    until_said(&home, "file descriptors: ");
    let last = clients.last_mut().unwrap();
    last.set_read_timeout(Some(common::PATIENCE)).unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("too few file descriptors"), "{answer}");

    // A node that comes back needs new connections: there are descriptors for them.
    node.stop();
    until_said(&home, "node does not answer");
    node.start();
    let height = node.height();
    until("it mines on beside its clients", || {
        (node.height() >= height + 5).then_some(())
    });
    drop(clients);
    until_alert(&home, "descriptors");
    stops_well(running, &home);
}

#[test]
fn it_lives_without_a_single_descriptor_left_and_goes_on_when_there_are_more() {
    let mut node = Node::devnode();
    let home = home(&node, 0.3);
    let running = home.start_through(&mut Command::new("env"));
    until_accepted(&home, 2);
    let limit = |soft: &str| {
        Command::new("prlimit")
            .args(["--pid", &running.pid().to_string()])
            .arg(format!("--nofile={soft}:"))
            .status()
            .is_ok_and(|status| status.success())
    };
    if !limit("10") {
        eprintln!("skipped: no prlimit here");
        return;
    }
    until_said(&home, "file descriptors: critical");
    node.stop();
    until_said(&home, "node does not answer");
    node.start();
    // It cannot reach the node now: this is what happens to it, not a wait for something.
    std::thread::sleep(Duration::from_secs(2));
    assert!(limit("1024"));
    let height = node.height();
    until("it mines on", || {
        (node.height() >= height + 5).then_some(())
    });
    let (status, last) = running.stop();
    assert!(status.success(), "{status}\n{}", home.log());
    assert_eq!(last["blocks_rejected"], 0, "{last}");
}

#[test]
fn totals_go_on_from_run_to_run_and_a_damaged_file_is_set_aside_and_said() {
    let node = Node::devnode();
    let home = home(&node, 0.0);
    let file = home.data_dir().join("statistics.json");
    let totals = || -> Value { serde_json::from_slice(&fs::read(&file).unwrap()).unwrap() };
    home.mine(3);
    home.mine(2);
    let two = totals();
    assert_eq!((&two["runs"], &two["stopped"]), (&2.into(), &true.into()));
    assert_eq!(two["blocks"]["accepted"], 5, "{two}");

    fs::write(&file, &fs::read(&file).unwrap()[..40]).unwrap();
    let running = home.start_through(&mut Command::new("env"));
    until_said(&home, "cannot be used: it is damaged");
    let lifetime = home.until_status("it runs", |status| Some(status["lifetime"].clone()));
    assert_eq!(lifetime["set_aside"], 1, "{lifetime}");
    assert!(
        lifetime["blocks"]["accepted"].as_u64().unwrap() >= 5,
        "from the journal: {lifetime}"
    );
    running.kill();
    let aside = fs::read_dir(home.data_dir()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy()
            .starts_with("statistics.json.corrupt-")
    });
    assert_eq!(aside.count(), 1);

    // A run that was killed is a run, and no block of it is forgotten.
    let found = home.journal().len() as u64;
    home.mine(1);
    let last = totals();
    assert_eq!(last["runs"], 2, "{last}");
    assert_eq!(last["blocks"]["found"], found + 1, "{last}");
}
