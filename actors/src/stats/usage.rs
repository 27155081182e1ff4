//! What this process uses of the machine.

/// CPU time and memory of this process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// User and system CPU time so far, in seconds, of all threads.
    pub cpu_s: f64,
    /// Resident set size in bytes.
    pub resident_bytes: u64,
}

impl Usage {
    /// Reads `/proc/self`; none where there is no procfs.
    pub fn of_this_process() -> Option<Self> {
        let stat = procfs::process::Process::myself().ok()?.stat().ok()?;
        Some(Self {
            cpu_s: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
            resident_bytes: stat.rss * procfs::page_size(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory() {
        let usage = Usage::of_this_process().expect("Linux has procfs");
        assert!(usage.resident_bytes > 1 << 20);
    }
}
