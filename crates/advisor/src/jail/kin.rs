//! The descendants of this process, as /proc has them.

use std::fs;

use nix::unistd::Pid;

/// Descendants, and what they take.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// All of them, parents before children.
    pub processes: Vec<Pid>,
    /// Their threads; each process is one at least.
    pub tasks: u32,
    /// Bytes in use by them; what two of them share counts twice.
    pub memory: u64,
}

/// Counts the descendants of this process. What ends meanwhile is left out; whose parent ends meanwhile may be.
pub fn census() -> Census {
    let mut census = Census::default();
    let mut parents = vec!["self".to_owned()];
    while let Some(parent) = parents.pop() {
        let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else {
            continue;
        };
        for task in tasks.flatten() {
            census.tasks += u32::from(parent != "self");
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_ascii_whitespace() {
                census
                    .processes
                    .extend(child.parse().ok().map(Pid::from_raw));
                census.memory += memory(child);
                parents.push(child.to_owned());
            }
        }
    }
    census
}

/// Bytes in use by a process.
fn memory(pid: &str) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm"))
        .ok()
        .and_then(|sizes| sizes.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}
