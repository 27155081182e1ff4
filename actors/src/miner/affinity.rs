//! Which CPU each hashing thread stays on, and how nice it is to everybody else.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The most CPUs that a system can be asked about; their numbers are below it.
pub const MAX_CPUS: usize = CpuSet::MAX_CPU;

/// `mining.affinity`: who decides which CPU a hashing thread runs on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Affinity {
    /// A CPU for each thread where there are as many threads as CPUs that this process may use, or as
    /// many as those have cores. Fewer or more threads are left to the system: a thread that is
    /// tied to a CPU shares it with whoever else is there, also while another one is idle.
    #[default]
    Auto,
    /// The system.
    None,
    /// The operator: the first thread on the first CPU, and so on, beginning again at the end.
    Cpus(Vec<usize>),
}

impl Affinity {
    /// The CPU of each of `threads` threads; none for a thread that is left to the system.
    pub fn seats(&self, threads: usize, machine: &Machine) -> Vec<Option<usize>> {
        match self {
            Self::Auto if threads == machine.cpus() || threads == machine.cores.len() => {
                machine.cores_first().take(threads).map(Some).collect()
            }
            Self::Cpus(cpus) if !cpus.is_empty() => cpus
                .iter()
                .copied()
                .cycle()
                .take(threads)
                .map(Some)
                .collect(),
            _ => vec![None; threads],
        }
    }
}

/// The CPUs that this process may use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// By core, in ascending order; more than one where a core runs several threads at once.
    cores: Vec<Vec<usize>>,
}

impl Machine {
    /// The one that this process runs on: control groups and whoever started it have their say.
    /// Nothing where the system does not tell.
    pub fn here() -> Self {
        let Ok(set) = sched_getaffinity(None) else {
            return Self::default();
        };
        let allowed = (0..MAX_CPUS).filter(|cpu| set.is_set(*cpu));
        Self::new(allowed, |cpu| {
            let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
            std::fs::read_to_string(path).ok()
        })
    }

    /// The one with these CPUs, in ascending order. `siblings` gives the system's list of the CPUs on one's
    /// core; a CPU of which nothing can be read has a core of its own.
    fn new(
        allowed: impl Iterator<Item = usize>,
        siblings: impl Fn(usize) -> Option<String>,
    ) -> Self {
        let mut cores = BTreeMap::<usize, Vec<usize>>::new();
        for cpu in allowed {
            let core = siblings(cpu).and_then(|list| parse_cpus(&list));
            let first = core.and_then(|core| core.into_iter().min());
            cores.entry(first.unwrap_or(cpu)).or_default().push(cpu);
        }
        Self {
            cores: cores.into_values().collect(),
        }
    }

    fn cpus(&self) -> usize {
        self.cores.iter().map(Vec::len).sum()
    }

    /// All CPUs: one of every core, then a second of every core that has one, and so on.
    fn cores_first(&self) -> impl Iterator<Item = usize> {
        let most = self.cores.iter().map(Vec::len).max().unwrap_or(0);
        (0..most).flat_map(|nth| {
            self.cores
                .iter()
                .filter_map(move |core| core.get(nth).copied())
        })
    }
}

/// CPU numbers in the system's notation, `0-3,8`. None for anything else, and for a number from
/// [`MAX_CPUS`] on.
pub fn parse_cpus(list: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (
            first.trim().parse::<usize>().ok()?,
            last.trim().parse::<usize>().ok()?,
        );
        if first > last || last >= MAX_CPUS {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// Where a thread runs, and how nice it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The only CPU that it may run on; none where there are several.
    pub cpu: Option<usize>,
    /// Its niceness, -20 to 19.
    pub nice: i32,
}

impl Placement {
    /// Ties the calling thread to a CPU, where one is given, and makes it at least as nice as asked.
    ///
    /// What the system refuses stays as it was, and is told. A thread that is nicer than it must be stays so: a
    /// service manager, or whoever started the process, wanted it.
    pub fn take(cpu: Option<usize>, nice: i32) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if let Some(cpu) = cpu {
            let mut set = CpuSet::new();
            set.set(cpu);
            if let Err(error) = sched_setaffinity(None, &set) {
                let what = Wish::Cpu(cpu);
                refusals.push(Refusal {
                    what,
                    error: error.into(),
                });
            }
        }
        // "No process" is the calling thread, and only that.
        let nicer = getpriority_process(None).is_ok_and(|now| now >= nice && nice >= 0);
        if !nicer && let Err(error) = setpriority_process(None, nice) {
            let what = Wish::Nice(nice);
            refusals.push(Refusal {
                what,
                error: error.into(),
            });
        }
        refusals
    }

    /// Of the calling thread, as the system tells.
    pub fn of_this_thread() -> Self {
        let set = sched_getaffinity(None).ok().filter(|set| set.count() == 1);
        Self {
            cpu: set.and_then(|set| (0..MAX_CPUS).find(|cpu| set.is_set(*cpu))),
            nice: getpriority_process(None).unwrap_or(0),
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cpu {
            Some(cpu) => write!(f, "CPU {cpu}, nice {}", self.nice),
            None => write!(f, "any CPU, nice {}", self.nice),
        }
    }
}

/// What a thread was to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// This CPU.
    Cpu(usize),
    /// This niceness.
    Nice(i32),
}

/// The system does not let a thread have what it was to have.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", match what {
    Wish::Cpu(cpu) => format!("CPU {cpu} (mining.affinity)"),
    Wish::Nice(nice) => format!("niceness {nice} (mining.nice)"),
})]
pub struct Refusal {
    /// What.
    pub what: Wish,
    /// Why.
    #[source]
    pub error: io::Error,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// `cores` cores of `threads` each, numbered as Linux does: the first threads of all cores come first.
    fn machine(cores: usize, threads: usize) -> Machine {
        Machine::new(0..cores * threads, |cpu| {
            let core = cpu % cores;
            let siblings = (0..threads).map(|nth| (core + nth * cores).to_string());
            Some(siblings.collect::<Vec<_>>().join(",") + "\n")
        })
    }

    fn auto(threads: usize, machine: &Machine) -> Option<Vec<usize>> {
        Affinity::Auto.seats(threads, machine).into_iter().collect()
    }

    #[test]
    fn lists_of_cpus_are_read_as_the_system_writes_them() {
        assert_eq!(parse_cpus("0\n"), Some(vec![0]));
        assert_eq!(
            parse_cpus("0-3,8,10-11\n"),
            Some(vec![0, 1, 2, 3, 8, 10, 11])
        );
        assert_eq!(parse_cpus("2, 0"), Some(vec![2, 0]));
        for wrong in ["", "x", "1-", "-1", "3-1", "1,,2", "1024", "0-99999999999"] {
            assert_eq!(parse_cpus(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn threads_that_fill_the_machine_get_a_cpu_each_and_cores_before_their_second_threads() {
        let machine = machine(3, 2);
        assert_eq!(auto(6, &machine), Some(vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(auto(3, &machine), Some(vec![0, 1, 2]), "one for each core");
        // Siblings may as well be neighbours.
        let pairs = Machine::new(0..4, |cpu| Some(format!("{}-{}", cpu & !1, cpu | 1)));
        assert_eq!(auto(2, &pairs), Some(vec![0, 2]));
        assert_eq!(auto(4, &pairs), Some(vec![0, 2, 1, 3]));
    }

    #[test]
    fn threads_that_leave_cpus_free_or_are_too_many_are_left_to_the_system() {
        let machine = machine(3, 2);
        for threads in [1, 2, 4, 5, 7, 100] {
            assert_eq!(Affinity::Auto.seats(threads, &machine), vec![None; threads]);
        }
        assert_eq!(Affinity::Auto.seats(2, &Machine::default()), [None, None]);
        assert_eq!(Affinity::None.seats(6, &machine), [None; 6]);
    }

    #[test]
    fn only_the_cpus_that_the_process_may_use_count() {
        // CPUs 1, 4 and 5 of three cores with two threads each: 1 and 4 share a core.
        let siblings = |cpu: usize| Some(format!("{},{}", cpu % 3, cpu % 3 + 3));
        let machine = Machine::new([1, 4, 5].into_iter(), siblings);
        assert_eq!(auto(3, &machine), Some(vec![1, 5, 4]));
        assert_eq!(auto(2, &machine), Some(vec![1, 5]));
        let unknown = Machine::new([1, 4, 5].into_iter(), |_| None);
        assert_eq!(auto(3, &unknown), Some(vec![1, 4, 5]));
        assert_eq!(auto(2, &unknown), None);
    }

    #[test]
    fn a_list_is_gone_through_and_begun_again() {
        let list = Affinity::Cpus(vec![7, 2]);
        assert_eq!(
            list.seats(3, &Machine::default()),
            [Some(7), Some(2), Some(7)]
        );
        assert_eq!(Affinity::Cpus(Vec::new()).seats(1, &machine(1, 1)), [None]);
    }

    #[test]
    fn what_the_system_refuses_is_told_in_words() {
        let refusals = std::thread::scope(|scope| {
            // No machine has this one.
            let thread = scope.spawn(|| Placement::take(Some(MAX_CPUS - 1), 0));
            thread.join().unwrap()
        });
        assert_eq!(refusals.len(), 1);
        let text = refusals[0].to_string();
        assert!(text.contains("CPU 1023 (mining.affinity)"), "{text}");
    }
}
