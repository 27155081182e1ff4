//! The program itself, in a process of its own.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::manager::Manager;
use super::node::Node;
use super::until;

/// A configuration and a state directory, which outlive any single process.
pub struct Home {
    dir: TempDir,
}

impl Home {
    /// A configuration for `node`; `mining` is the content of `[mining]`, `zmq` whether to subscribe.
    pub fn new(node: &Node, mining: &str, zmq: bool) -> Self {
        Self::on_network("regtest", node, mining, zmq)
    }

    /// The same on a network of choice.
    pub fn on_network(network: &str, node: &Node, mining: &str, zmq: bool) -> Self {
        let login = format!("cookie_file = \"{}\"", node.cookie_file().display());
        Self::logging_in(network, node, &login, mining, zmq)
    }

    /// The same with a login of choice.
    pub fn logging_in(network: &str, node: &Node, login: &str, mining: &str, zmq: bool) -> Self {
        let home = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let topics = ["hashblock", "rawblock", "sequence"];
        let mut endpoints = String::new();
        for topic in topics.iter().filter(|_| zmq) {
            let _ = writeln!(endpoints, "zmq_{topic} = \"{}\"", node.zmq());
        }
        let text = format!(
            "data_dir = \"{}\"\n[chain]\nnetwork = \"{network}\"\n[[node]]\nname = \"local\"\nrpc_url = \"{}\"\n\
             {login}\n{endpoints}[api]\nlisten = \"\"\n[advisor]\ncommand = []\n[mining]\nthreads = 1\n{mining}\n",
            home.dir.path().join("data").display(),
            node.rpc_url(),
        );
        fs::write(home.config(), text).unwrap();
        home
    }

    /// Adds a node, less preferred than those before it.
    pub fn add_node(&self, name: &str, node: &Node) {
        let mut text = fs::read_to_string(self.config()).unwrap();
        let _ = write!(
            text,
            "[[node]]\nname = \"{name}\"\nrpc_url = \"{}\"\ncookie_file = \"{}\"\n",
            node.rpc_url(),
            node.cookie_file().display(),
        );
        for topic in ["hashblock", "rawblock", "sequence"] {
            let _ = writeln!(text, "zmq_{topic} = \"{}\"", node.zmq());
        }
        fs::write(self.config(), text).unwrap();
    }

    /// Path of the configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("signalcore.toml")
    }

    /// The state directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Runs a command of the program to its end.
    pub fn command(&self, args: &[&str]) -> Output {
        self.command_with(args, &[])
    }

    /// The same with further environment variables.
    pub fn command_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_signalcore"))
            .args(args)
            .arg("--config")
            .arg(self.config())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs `run --blocks N` to its end; its last line, decoded.
    pub fn mine(&self, blocks: u64) -> Value {
        let output = self.command(&["run", "--blocks", &blocks.to_string(), "--json"]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let status = output.status;
        assert!(status.success(), "{status}\n{stderr}\n{}", self.log());
        last_line(&output.stdout)
    }

    /// The journal, decoded.
    pub fn journal(&self) -> Vec<Value> {
        let output = self.command(&["journal", "list", "--json"]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        last_line(&output.stdout).as_array().unwrap().clone()
    }

    /// The status of the running instance; none while it does not answer.
    pub fn status(&self) -> Option<Value> {
        let output = self.command(&["status", "--json"]);
        output.status.success().then(|| last_line(&output.stdout))
    }

    /// What the running instance last wrote of its status.
    pub fn status_file(&self) -> Option<Value> {
        let text = fs::read(self.data_dir().join("run/status.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Waits until the status shows something.
    pub fn until_status<T>(&self, what: &str, look: impl Fn(&Value) -> Option<T>) -> T {
        let mut last = None;
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(what, || {
                last = self.status();
                last.as_ref().and_then(&look)
            })
        }));
        found.unwrap_or_else(|_| panic!("{what}; last status: {last:?}; log:\n{}", self.log()))
    }

    /// Waits until the program has verified this tip.
    pub fn until_tip(&self, hash: &str) {
        self.until_status("the tip is verified", |status| {
            (status["tip"]["hash"] == hash).then_some(())
        });
    }

    /// Waits until the journal says something of a block.
    pub fn until_entry(&self, what: &str, hash: &str, look: impl Fn(&Value) -> bool) {
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(what, || {
                let journal = self.journal();
                let entry = journal.iter().find(|entry| entry["hash"] == hash)?;
                look(entry).then_some(())
            });
        }));
        found.unwrap_or_else(|_| panic!("{what}; {:?}; log:\n{}", self.journal(), self.log()));
    }

    /// What running instances wrote to stderr, and then what they logged.
    pub fn log(&self) -> String {
        let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        read(self.dir.path().join("stderr.log")) + &read(self.data_dir().join("log/signalcore.log"))
    }

    /// Starts `run -v` in the background, through another program: its arguments end where those of
    /// this one begin, and it goes on as this one (`exec`).
    pub fn start_through(&self, other: &mut Command) -> Running {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("stderr.log"))
            .unwrap();
        let child = other
            .arg(env!("CARGO_BIN_EXE_signalcore"))
            .args(["run", "-v", "--json", "--config"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        Running { child: Some(child) }
    }

    /// Waits until a running instance has written this.
    pub fn until_said(&self, text: &str) {
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(text, || self.log().contains(text).then_some(()));
        }));
        found.unwrap_or_else(|_| panic!("it never said {text:?}; log:\n{}", self.log()));
    }

    /// Starts `run` in the background.
    pub fn start(&self) -> Running {
        self.start_with(&[])
    }

    /// The same with further environment variables.
    pub fn start_with(&self, variables: &[(&str, &str)]) -> Running {
        self.launch(&["run", "--json", "-v"], variables)
    }

    /// Starts `daemon` in the background, beside the service manager `manager`, with further
    /// variables in its environment.
    pub fn daemon(&self, manager: &Manager, variables: &[(&str, &str)]) -> Running {
        let socket = manager.path();
        let mut all = vec![("NOTIFY_SOCKET", socket.to_str().unwrap())];
        all.extend(variables);
        self.launch(&["daemon", "-v"], &all)
    }

    fn launch(&self, args: &[&str], variables: &[(&str, &str)]) -> Running {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("stderr.log"))
            .unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_signalcore"));
        for inherited in [
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
            "WATCHDOG_PID",
            "JOURNAL_STREAM",
        ] {
            command.env_remove(inherited);
        }
        let child = command
            .args(args)
            .arg("--config")
            .arg(self.config())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        Running { child: Some(child) }
    }

    /// A command of the program on this configuration, without what it could inherit of this terminal.
    pub fn on(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signalcore"));
        for inherited in ["JOURNAL_STREAM", "NO_COLOR", "NOTIFY_SOCKET", "LC_ALL"] {
            command.env_remove(inherited);
        }
        command
            .args(args)
            .arg("--config")
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }

    /// The log file alone.
    pub fn log_file(&self) -> PathBuf {
        self.data_dir().join("log/signalcore.log")
    }

    /// Changes the configuration file: every `old` becomes `new`.
    pub fn reconfigure(&self, old: &str, new: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(old), "{old} is not in {text}");
        fs::write(self.config(), text.replace(old, new)).unwrap();
    }

    /// Has a shell script asked for advice; `keys` are further ones of `[advisor]`. The script finds its question in
    /// `$line`, and the question's id in `$id`.
    pub fn advised_by(&self, script: &str, keys: &str) {
        let path = self.dir.path().join("advisor.sh");
        let text = format!(
            "read -r line\nid=$(printf '%s' \"$line\" | sed 's/.*\"id\":\"\\([^\"]*\\)\".*/\\1/')\n{script}\n"
        );
        fs::write(&path, text).unwrap();
        let command = format!("command = [\"/bin/sh\", \"{}\"]", path.display());
        self.reconfigure("command = []", &format!("{command}\n{keys}"));
    }

    /// Changes that script.
    pub fn advise_otherwise(&self, old: &str, new: &str) {
        let path = self.dir.path().join("advisor.sh");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{old} is not in {text}");
        fs::write(&path, text.replace(old, new)).unwrap();
    }

    /// Puts top-level keys in front of the configuration.
    pub fn prepend(&self, keys: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        fs::write(self.config(), format!("{keys}\n{text}")).unwrap();
    }
}

/// A running instance. Killed when dropped.
pub struct Running {
    child: Option<Child>,
}

impl From<Child> for Running {
    fn from(child: Child) -> Self {
        Self { child: Some(child) }
    }
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Asks it to stop with SIGTERM; its exit status and last line.
    pub fn stop(mut self) -> (ExitStatus, Value) {
        let child = self.child.take().expect("it runs");
        signal(child.id(), "TERM");
        let output = child.wait_with_output().unwrap();
        let last = last_line(&output.stdout);
        (output.status, last)
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits until it ends; its exit code, none after a signal.
    pub fn ended(mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until("the end", || child.try_wait().unwrap())
        }));
        if ended.is_err() {
            drop(child.kill());
            drop(child.wait());
        }
        ended.expect("it ends").code()
    }

    /// Kills it where it stands.
    pub fn kill(mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Does something again and again until it ends; its exit code.
    pub fn ends_while(mut self, mut what: impl FnMut()) -> Option<i32> {
        let child = self.child.as_mut().expect("it runs");
        let ended = until("the end", || {
            let ended = child.try_wait().unwrap();
            if ended.is_none() {
                what();
            }
            ended
        });
        ended.code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Sends a signal to a process this test started.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .status()
        .unwrap();
    assert!(status.success(), "kill -{name} {pid}");
}

fn last_line(stdout: &[u8]) -> Value {
    let text = String::from_utf8_lossy(stdout);
    let line = text
        .lines()
        .last()
        .unwrap_or_else(|| panic!("nothing on stdout"));
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}
