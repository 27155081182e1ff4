#![allow(clippy::unwrap_used)]

use tempfile::TempDir;

use super::*;

/// Real files in place of `/proc`, `/sys` and `/sys/fs/cgroup`.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn file(&self, path: &str, content: &str) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn roots(&self) -> Roots {
        let root = |name: &str| self.0.path().join(name);
        Roots {
            proc: root("proc"),
            sys: root("sys"),
            cgroup: root("cgroup"),
        }
    }

    fn read(&self) -> Samples {
        Machine::new(self.roots()).read()
    }

    /// Bytes left, the limit, and the group below the mount.
    fn memory(&self) -> (u64, u64, String) {
        let memory = self.read().memory.unwrap();
        let root = self.roots().cgroup;
        let of = memory.of.replace(&root.display().to_string(), "");
        (memory.available, memory.limit, of)
    }

    fn meminfo(&self, total_kb: u64, available_kb: u64) -> &Self {
        self.file(
            "proc/meminfo",
            &format!(
                "MemTotal:       {total_kb} kB\nMemFree:        10 kB\nMemAvailable:   {available_kb} kB\n\
                 Buffers:          0 kB\nCached:           0 kB\nSwapCached:            0 kB\n\
                 Active:      0 kB\nInactive:    0 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\n\
                 Dirty:               0 kB\nWriteback:             0 kB\nMapped:            0 kB\n\
                 Slab:             0 kB\nVmallocTotal:   0 kB\nVmallocUsed:       0 kB\nVmallocChunk:          0 kB\n\
                 Committed_AS:     0 kB\n"
            ),
        )
    }
}

#[test]
fn an_empty_machine_is_unknown_in_every_respect() {
    assert_eq!(Tree::new().read(), Samples::default());
}

#[test]
fn without_a_control_group_the_machine_is_the_limit() {
    let tree = Tree::new();
    tree.meminfo(1000, 400);
    assert_eq!(tree.memory(), (400 << 10, 1000 << 10, "the machine".into()));
}

#[test]
fn the_tightest_limit_of_version_2_binds_wherever_it_is_set() {
    let tree = Tree::new();
    tree.meminfo(1_000_000, 900_000)
        .file("proc/self/cgroup", "0::/system.slice/signalcore.service\n")
        .file("cgroup/system.slice/signalcore.service/memory.max", "max\n")
        .file(
            "cgroup/system.slice/signalcore.service/memory.high",
            "max\n",
        );
    assert_eq!(tree.memory().2, "the machine", "max is no limit");

    tree.file("cgroup/system.slice/memory.max", "100000\n")
        .file("cgroup/system.slice/memory.current", "90000\n")
        .file(
            "cgroup/system.slice/memory.stat",
            "anon 60000\ninactive_file 20000\nactive_file 10000\n",
        );
    let slice = "the control group /system.slice".to_owned();
    assert_eq!(tree.memory(), (30_000, 100_000, slice));

    tree.file(
        "cgroup/system.slice/signalcore.service/memory.high",
        "50000\n",
    )
    .file(
        "cgroup/system.slice/signalcore.service/memory.current",
        "49000\n",
    );
    assert_eq!(tree.memory().0, 1000, "the service's own");
}

#[test]
fn version_1_binds_as_well_and_its_word_for_no_limit_is_known() {
    let tree = Tree::new();
    let dir = "cgroup/memory/docker/abc";
    tree.meminfo(1_000_000, 900_000)
        .file(
            "proc/self/cgroup",
            "9:name=systemd:/\n4:memory:/docker/abc\n0::/\n",
        )
        .file(
            &format!("{dir}/memory.limit_in_bytes"),
            "9223372036854771712\n",
        )
        .file(&format!("{dir}/memory.usage_in_bytes"), "5000\n");
    assert_eq!(tree.memory().2, "the machine");

    tree.file(&format!("{dir}/memory.limit_in_bytes"), "10000\n")
        .file(
            &format!("{dir}/memory.stat"),
            "inactive_file 1\ntotal_inactive_file 500\n",
        );
    assert_eq!(tree.memory().0, 10_000 - 4_500);
}

#[test]
fn the_hottest_plausible_sensor_counts() {
    let tree = Tree::new();
    tree.file("sys/class/thermal/thermal_zone0/temp", "45000\n")
        .file("sys/class/thermal/thermal_zone0/type", "acpitz\n")
        .file("sys/class/thermal/thermal_zone1/temp", "-274000\n")
        .file("sys/class/thermal/cooling_device0/temp", "99000\n");
    let hottest = tree.read().temperature.unwrap();
    assert_eq!((hottest.celsius, &*hottest.sensor), (45.0, "acpitz"));

    tree.file("sys/class/hwmon/hwmon0/name", "coretemp\n")
        .file("sys/class/hwmon/hwmon0/temp1_input", "71500\n")
        .file("sys/class/hwmon/hwmon0/temp1_label", "Package id 0\n")
        .file("sys/class/hwmon/hwmon0/temp1_max", "100000\n")
        .file("sys/class/hwmon/hwmon1/temp1_input", "255000\n")
        .file("sys/class/hwmon/hwmon2/temp1_input", "not a number\n");
    let hottest = tree.read().temperature.unwrap();
    assert_eq!(hottest.sensor, "coretemp: Package id 0");
    assert!((hottest.celsius - 71.5).abs() < 1e-9);
}

#[test]
fn steal_is_the_share_of_the_time_between_two_readings() {
    let tree = Tree::new();
    let stat = |user: u64, idle: u64, steal: u64| {
        tree.file(
            "proc/stat",
            &format!(
                "cpu  {user} 0 0 {idle} 0 0 0 {steal} 0 0\ncpu0 {user} 0 0 {idle} 0 0 0 {steal} 0 0\n\
                 intr 0\nctxt 1\nbtime 1\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n"
            ),
        );
    };
    stat(1000, 1000, 500);
    let mut machine = Machine::new(tree.roots());
    assert_eq!(machine.read().cpu_steal, None, "nothing to compare with");
    assert_eq!(machine.read().cpu_steal, None, "no time has passed");
    stat(1050, 1025, 525);
    assert_eq!(machine.read().cpu_steal, Some(0.25));
    stat(1100, 1075, 525);
    assert_eq!(machine.read().cpu_steal, Some(0.0));
}

#[test]
fn descriptors_are_counted_against_the_soft_limit() {
    let tree = Tree::new();
    for fd in 0..7 {
        tree.file(&format!("proc/self/fd/{fd}"), "");
    }
    let unlimited = tree.read().descriptors.unwrap();
    assert_eq!((unlimited.used, unlimited.limit), (6, None));
    // As the kernel prints it, and of this very process.
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    tree.file("proc/self/limits", &limits);
    assert!(tree.read().descriptors.unwrap().limit.unwrap() > 0);
}

#[test]
fn this_machine_can_be_read() {
    let samples = Machine::new(Roots::default()).read();
    let memory = samples.memory.unwrap();
    assert!(memory.limit > 0 && memory.share() <= 1.0, "{memory:?}");
    assert!(samples.descriptors.unwrap().used > 2);
}
