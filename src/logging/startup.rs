//! What the log says first and last: what the program starts with, step by step, and what there was to
//! complain about.

use std::fs;
use std::path::Path;

use actors::monitor::LogStatus;
use tracing::info;

use super::manner::Manner;
use crate::config::{Profile, Settings};

/// Tells what the program starts with. What the machine does not tell is left out.
pub fn tell(settings: &Settings, config: Option<&Path>, manner: Manner) {
    info!(
        "signalcore {} starts, process {}",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    );
    if let Some(path) = config {
        info!("configuration: {}", path.display());
    } else {
        info!("configuration: no file of the user's");
    }
    info!(
        "instance {} on {}, profile {}",
        settings.node_id,
        settings.network,
        match settings.profile {
            Some(Profile::Production) => "production",
            Some(Profile::Development) => "development",
            None => "of the command",
        }
    );
    info!(
        "state in {}, control socket {}",
        settings.data_dir.display(),
        settings.control_socket().display()
    );
    info!(
        "journal of found blocks: {}, waited for {:.2} s",
        settings.journal_dir().display(),
        settings.journal_deadline.as_secs_f64()
    );
    info!(
        "log: {}, new at {} MiB, {} kept; stderr: {}",
        settings.log_dir.join(super::FILE_NAME).display(),
        settings.log_max_size >> 20,
        settings.log_keep,
        match manner {
            Manner::Silent => "errors only, it is no terminal (-v shows more)",
            Manner::Gone => "gone",
            Manner::Plain { .. } => "lines",
            Manner::Live => "a terminal",
            Manner::Journal { verbose: true } => "the journal",
            Manner::Journal { verbose: false } => "the journal, warnings and errors",
        }
    );
    for node in &settings.nodes {
        info!("node {}: {}", node.name, told(node));
    }
    info!(
        "verify {} headers behind the tip; poll every {:.1} s",
        settings.level,
        settings.poll_interval.as_secs_f64()
    );
    if let Some(mining) = &settings.mining {
        info!(
            "hashing threads: {}, kernel {}, niceness {}",
            mining.threads,
            match settings.forced.kernel {
                Some(by) => format!("{} ({by})", mining.kernel.name()),
                None => "to be chosen by measuring".to_owned(),
            },
            mining.nice
        );
    } else {
        info!("mining is off");
    }
    if let Some(address) = settings.api_listen {
        info!("HTTP on {address}");
    } else {
        info!("HTTP is off");
    }
    if let Some(machine) = machine() {
        info!("machine: {machine}");
    }
}

/// Tells how many errors and warnings there were, and who had them.
pub fn tell_the_end(log: &LogStatus) {
    let Some(words) = log.in_words() else {
        info!("the log ends: no warnings, no errors");
        return;
    };
    let sources: Vec<String> = log
        .by_source
        .iter()
        .map(|(source, count)| format!("{source} {}+{}", count.warnings, count.errors))
        .collect();
    info!("the log ends: {words} ({})", sources.join(", "));
    if let Some(last) = &log.last_error {
        info!("last error: {} {}: {}", last.at, last.source, last.message);
    }
    if log.lines_lost > 0 {
        info!("{} lines did not get into this file", log.lines_lost);
    }
}

fn told(node: &node::NodeConfig) -> String {
    let topics = [
        ("hashblock", &node.zmq.hashblock),
        ("rawblock", &node.zmq.rawblock),
        ("sequence", &node.zmq.sequence),
    ];
    let topics: Vec<&str> = topics
        .into_iter()
        .filter_map(|(name, endpoint)| endpoint.as_ref().map(|_| name))
        .collect();
    let zmq = if topics.is_empty() {
        "no ZMQ, polls only".to_owned()
    } else {
        format!("ZMQ {}", topics.join(", "))
    };
    let login = match &node.auth {
        node::Auth::CookieFile(path) => format!("cookie {}", path.display()),
        node::Auth::UserPassword { user, .. } => format!("user {user}"),
    };
    format!("{}, {login}, {zmq}", node.rpc_url)
}

/// CPUs, governor, temperature and memory.
fn machine() -> Option<String> {
    let mut parts = Vec::new();
    if let Ok(cpus) = std::thread::available_parallelism() {
        parts.push(format!("{cpus} CPUs"));
    }
    let read = |path: &str| fs::read_to_string(path).ok();
    if let Some(governor) = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") {
        parts.push(format!("governor {}", governor.trim()));
    }
    let millidegrees = read("/sys/class/thermal/thermal_zone0/temp");
    if let Some(millidegrees) = millidegrees.and_then(|text| text.trim().parse::<f64>().ok()) {
        parts.push(format!("{:.0} °C", millidegrees / 1000.0));
    }
    if let Some(meminfo) = read("/proc/meminfo") {
        let of = |key| kilobytes(&meminfo, key);
        if let (Some(total), Some(available)) = (of("MemTotal:"), of("MemAvailable:")) {
            let megabytes = |kilobytes: u64| kilobytes * 1_024 / 1_000_000;
            parts.push(format!(
                "{} of {} MB memory available",
                megabytes(available),
                megabytes(total)
            ));
        }
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// A figure of /proc/meminfo, in kB.
fn kilobytes(meminfo: &str, key: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_line_that_names_it() {
        let meminfo = "MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    8192 kB\n";
        assert_eq!(kilobytes(meminfo, "MemTotal:"), Some(16_384));
        assert_eq!(kilobytes(meminfo, "MemAvailable:"), Some(8_192));
        assert_eq!(kilobytes(meminfo, "SwapTotal:"), None);
    }
}
