//! What a measurement holds for: this machine, this program, what the configuration makes of both.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::UNIX_EPOCH;

use actors::miner::MinerSettings;
use chain::VersionRolling;
use pow::Kernel;
use serde::{Deserialize, Serialize};

/// The lines of `/proc/cpuinfo` that tell one CPU from another, on x86 and on ARM.
const CPU_LINES: [&str; 10] = [
    "vendor_id",
    "model name",
    "cpu family",
    "model",
    "stepping",
    "CPU implementer",
    "CPU architecture",
    "CPU variant",
    "CPU part",
    "CPU revision",
];

/// What a measurement holds for. Under another key it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The CPU model.
    pub cpu: String,
    /// Its microcode; null where the system does not show it.
    pub microcode: Option<String>,
    /// Version of this program.
    pub program: String,
    /// Size and time of its file: one that was built anew is another program.
    pub build: Option<String>,
    /// The kernels that this CPU can run.
    pub kernels: Vec<String>,
    /// What of the configuration changes which choice is best.
    pub configuration: String,
}

impl Key {
    /// The key of this machine under these settings.
    pub fn of(miner: &MinerSettings) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let build = std::env::current_exe().ok().and_then(|exe| build(&exe));
        Self::new(&cpuinfo, build, &supported(), configuration(miner))
    }

    fn new(
        cpuinfo: &str,
        build: Option<String>,
        kernels: &[&dyn Kernel],
        configuration: String,
    ) -> Self {
        let cpu: Vec<String> = CPU_LINES
            .iter()
            .filter_map(|name| Some(format!("{name} {}", line(cpuinfo, name)?)))
            .collect();
        Self {
            cpu: if cpu.is_empty() {
                std::env::consts::ARCH.to_owned()
            } else {
                cpu.join(", ")
            },
            microcode: line(cpuinfo, "microcode").map(str::to_owned),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            build,
            kernels: kernels.iter().map(|k| k.name().to_owned()).collect(),
            configuration,
        }
    }

    /// What of `now` is not as it was when this was measured, in words; none where all is the same.
    pub fn difference(&self, now: &Self) -> Option<String> {
        let unknown = || "unknown".to_owned();
        let microcode = |key: &Self| key.microcode.clone().unwrap_or_else(unknown);
        let pairs = [
            ("CPU", self.cpu.clone(), now.cpu.clone()),
            ("microcode", microcode(self), microcode(now)),
            ("version", self.program.clone(), now.program.clone()),
            (
                "set of kernels",
                self.kernels.join(", "),
                now.kernels.join(", "),
            ),
            (
                "configuration",
                self.configuration.clone(),
                now.configuration.clone(),
            ),
        ];
        let differs = pairs.into_iter().find(|(_, then, now)| then != now);
        if let Some((what, then, now)) = differs {
            return Some(format!("it is for another {what}: {then}, now {now}"));
        }
        (self.build != now.build).then(|| "it is for another build of this program".to_owned())
    }
}

/// The kernels that this CPU can run, the one presumed fastest first.
pub fn supported() -> Vec<&'static dyn Kernel> {
    let all = pow::kernels().iter().copied();
    all.filter(|kernel| kernel.is_supported()).collect()
}

/// Most header versions that are scanned at once under these settings.
pub fn versions(miner: &MinerSettings) -> usize {
    match miner.version_rolling {
        VersionRolling::Off => 1,
        VersionRolling::Auto | VersionRolling::On => chain::MAX_VERSIONS,
    }
}

fn configuration(miner: &MinerSettings) -> String {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{cpus} CPUs, affinity {:?}, {} header versions",
        miner.affinity,
        versions(miner)
    )
}

fn build(exe: &Path) -> Option<String> {
    let file = fs::metadata(exe).ok()?;
    let time = file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{}-{}", file.len(), time.as_nanos()))
}

/// What the first CPU's line of that name says.
fn line<'a>(cpuinfo: &'a str, name: &str) -> Option<&'a str> {
    cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const X86: &str = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\n\
        model name\t: AMD EPYC\nstepping\t: 1\nmicrocode\t: 0x1000065\ncpu MHz\t\t: 2445.424\n\n\
        processor\t: 1\nvendor_id\t: Other\nmicrocode\t: 0x2\n";
    const ARM: &str = "processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\nCPU architecture: 8\n\
        CPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n";

    fn key(cpuinfo: &str) -> Key {
        let configuration = "2 CPUs, 64 header versions".to_owned();
        Key::new(cpuinfo, Some("1-2".to_owned()), &supported(), configuration)
    }

    #[test]
    fn it_is_that_of_the_first_cpu_and_leaves_out_what_changes_by_the_minute() {
        let x86 = key(X86);
        assert_eq!(
            x86.cpu,
            "vendor_id AuthenticAMD, model name AMD EPYC, cpu family 25, model 1, stepping 1"
        );
        assert_eq!(x86.microcode.as_deref(), Some("0x1000065"));
        assert_eq!(x86.difference(&key(&X86.replace("2445", "3500"))), None);
        let arm = key(ARM);
        assert!(arm.cpu.contains("CPU part 0xd0c"), "{}", arm.cpu);
        assert_eq!(arm.microcode, None);
        assert_eq!(key("").cpu, std::env::consts::ARCH);
    }

    #[test]
    fn whatever_differs_is_named() {
        let then = key(X86);
        let says = |change: fn(&mut Key), words: &str| {
            let mut now = then.clone();
            change(&mut now);
            let difference = then.difference(&now).unwrap_or_default();
            assert!(difference.contains(words), "{difference}");
        };
        says(|key| key.cpu.push('X'), "another CPU");
        says(|key| key.microcode = None, "0x1000065, now unknown");
        says(|key| key.program = "9.9.9".into(), "now 9.9.9");
        says(|key| key.build = None, "another build");
        says(
            |key| key.kernels.push("new".into()),
            "another set of kernels",
        );
        says(|key| key.configuration = "4 CPUs".into(), "configuration");
    }
}
