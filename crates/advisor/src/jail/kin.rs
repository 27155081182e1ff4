//! The descendants of this process, as /proc has them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

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
    // Not every kernel lists children; then all processes of the machine are looked at.
    let families = (!Path::new("/proc/thread-self/children").exists()).then(families);
    let mut parents = vec![Pid::this().to_string()];
    while let Some(parent) = parents.pop() {
        let children = match &families {
            Some(families) => families.get(&parent).cloned().unwrap_or_default(),
            None => children(&parent),
        };
        for child in children {
            census
                .processes
                .extend(child.parse().ok().map(Pid::from_raw));
            census.tasks += tasks(&child).len() as u32;
            census.memory += memory(&child);
            parents.push(child);
        }
    }
    census
}

/// The threads of a process, by their directories.
fn tasks(pid: &str) -> Vec<PathBuf> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    tasks
        .map(|tasks| tasks.flatten().map(|task| task.path()).collect())
        .unwrap_or_default()
}

/// The children of a process: those of each of its threads.
fn children(pid: &str) -> Vec<String> {
    let mut children = Vec::new();
    for task in tasks(pid) {
        let of_task = fs::read_to_string(task.join("children")).unwrap_or_default();
        children.extend(of_task.split_ascii_whitespace().map(str::to_owned));
    }
    children
}

/// All processes, by their parents.
fn families() -> BTreeMap<String, Vec<String>> {
    let mut families = BTreeMap::<String, Vec<String>>::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        // A name may have anything in it, but ends at the last parenthesis; then the state, then the parent.
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(1));
        if let (Some(parent), Ok(pid)) = (parent, process.file_name().into_string()) {
            families.entry(parent.to_owned()).or_default().push(pid);
        }
    }
    families
}

/// Bytes in use by a process.
fn memory(pid: &str) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm"))
        .ok()
        .and_then(|sizes| sizes.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_child_is_found_either_way_and_counted() {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .spawn()
            .expect("cat");
        let (this, pid) = (Pid::this().to_string(), child.id().to_string());
        assert!(families()[&this].contains(&pid));
        if Path::new("/proc/thread-self/children").exists() {
            assert!(children(&this).contains(&pid));
        }
        let census = census();
        assert!(
            census
                .processes
                .contains(&Pid::from_raw(child.id().cast_signed()))
        );
        assert!(census.tasks >= 1);
        assert!(census.memory > 0);
        drop(child.stdin.take());
        child.wait().expect("it is ours");
    }
}
