//! Nodes and publishers in processes of their own, to be frozen, killed and started again.

use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use devnode::{Devnode, DevnodeConfig};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use node::{Auth, NodeConfig, Rpc, ZmqEndpoints};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpSocket;

use crate::zmq_publisher::{Link, Publisher};
use crate::{PATIENCE, wait_for};

const ROLE: &str = "SIGNALCORE_TEST_ROLE";
const RPC: &str = "SIGNALCORE_TEST_RPC";
const ZMQ: &str = "SIGNALCORE_TEST_ZMQ";
const DIR: &str = "SIGNALCORE_TEST_DIR";

/// Runs the test called `name` in a process of its own, and checks that it passed there. False in that
/// process, where the test is to be done.
pub fn elsewhere(name: &str) -> bool {
    if std::env::var_os(ROLE).is_some() {
        return false;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", name]).env(ROLE, name).output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{name}: {} {text}",
        output.status
    );
    true
}

/// What the other processes of these tests do; by itself it does nothing.
#[test]
fn act_the_part() {
    match std::env::var(ROLE).as_deref() {
        Ok("publisher") => act_publisher(),
        Ok("devnode") => act_devnode(),
        _ => {}
    }
}

/// Ends the process with the one that started it.
fn end_with_parent() {
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

fn variable<T: std::str::FromStr>(name: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    std::env::var(name).unwrap().parse().unwrap()
}

/// Greets as ZMTP 3.1, publishes a hash every 10 ms to each subscriber, and answers PING.
fn act_publisher() {
    end_with_parent();
    let publisher = Publisher::at(variable(ZMQ));
    loop {
        let stream = publisher.accept_raw();
        thread::spawn(move || {
            let Some(mut link) = Link::greet(stream, 1, 3) else {
                return;
            };
            let mut writer = Link {
                stream: link.stream.try_clone().unwrap(),
            };
            thread::spawn(move || {
                for counter in 0.. {
                    if !writer.publish("hashblock", &[9; 32], counter) {
                        return;
                    }
                    thread::sleep(Duration::from_millis(10));
                }
            });
            while let Some((_, body)) = link.try_frame() {
                if body.starts_with(b"\x04PING") {
                    link.send(b"\x04\x05\x04PONG");
                }
            }
        });
    }
}

fn act_devnode() {
    end_with_parent();
    let mut config = DevnodeConfig::new(std::env::var_os(DIR).unwrap());
    config.rpc_listen = variable(RPC);
    config.zmq_listen = Some(variable(ZMQ));
    config.persist = true;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _devnode = runtime.block_on(Devnode::start(config)).unwrap();
    thread::sleep(Duration::from_hours(1));
}

/// A process that is killed when dropped.
pub struct Process(Child);

impl Process {
    fn act(role: &str, variables: &[(&str, String)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "processes::act_the_part", "--nocapture"])
            .env(ROLE, role)
            .envs(variables.iter().map(|(name, value)| (name, value)));
        Self::spawn(&mut command)
    }

    fn spawn(command: &mut Command) -> Self {
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// A publisher at this address.
    pub fn publisher(address: SocketAddr) -> Self {
        Self::act("publisher", &[(ZMQ, address.to_string())])
    }

    /// Holds it still.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address that the system gives to nobody else as long as this lives. A process that is told of it may listen there,
/// as often as it likes, if it sets `SO_REUSEADDR`, as servers do; before that connections are refused.
pub struct Reserved {
    pub address: SocketAddr,
    _bound: TcpSocket,
}

impl Reserved {
    pub fn new() -> Self {
        let bound = TcpSocket::new_v4().unwrap();
        bound.set_reuseaddr(true).unwrap();
        bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self {
            address: bound.local_addr().unwrap(),
            _bound: bound,
        }
    }
}

enum Program {
    BitcoinCore(PathBuf),
    Devnode,
}

/// A node in a process of its own, with a data directory that outlives it.
pub struct NodeProcess {
    program: Program,
    options: Vec<&'static str>,
    dir: TempDir,
    rpc: Reserved,
    zmq: Reserved,
    process: Option<Process>,
}

impl NodeProcess {
    /// The devnode.
    pub fn devnode() -> Self {
        Self::new(Program::Devnode, &[])
    }

    /// Bitcoin Core with these options; `None`, with a word of it, where `BITCOIND_EXE` names none.
    #[allow(clippy::print_stderr)]
    pub fn bitcoin_core(options: &[&'static str]) -> Option<Self> {
        let Some(exe) = std::env::var_os("BITCOIND_EXE") else {
            eprintln!("skipped: BITCOIND_EXE not set");
            return None;
        };
        Some(Self::new(Program::BitcoinCore(exe.into()), options))
    }

    fn new(program: Program, options: &[&'static str]) -> Self {
        let mut node = Self {
            program,
            options: options.to_vec(),
            dir: TempDir::new().unwrap(),
            rpc: Reserved::new(),
            zmq: Reserved::new(),
            process: None,
        };
        node.start();
        node
    }

    /// Starts it and waits until it answers.
    pub fn start(&mut self) {
        let dir = self.dir.path();
        self.process = Some(match &self.program {
            Program::BitcoinCore(exe) => Process::spawn(&mut self.core(exe)),
            Program::Devnode => Process::act(
                "devnode",
                &[
                    (DIR, dir.display().to_string()),
                    (RPC, self.rpc.address.to_string()),
                    (ZMQ, self.zmq.address.to_string()),
                ],
            ),
        });
        let mut rpc = self.rpc();
        wait_for("the node answers", || rpc.get_block_count().is_ok());
    }

    fn core(&self, exe: &Path) -> Command {
        let mut command = Command::new(exe);
        command
            .args(["-chain=regtest", "-server=1", "-listen=0", "-dnsseed=0"])
            .args(["-fixedseeds=0", "-printtoconsole=0", "-rpcbind=127.0.0.1"])
            .arg("-rpcallowip=127.0.0.1")
            .arg(format!("-datadir={}", self.dir.path().display()))
            .arg(format!("-rpcport={}", self.rpc.address.port()))
            .args(&self.options);
        for topic in ["hashblock", "rawblock", "sequence"] {
            command.arg(format!("-zmqpub{topic}=tcp://{}", self.zmq.address));
        }
        command
    }

    /// Kills it where it stands; its cookie file stays behind.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }

    /// Where it is and how to log in.
    pub fn config(&self) -> NodeConfig {
        let auth = Auth::CookieFile(self.cookie_file());
        let url = format!("http://{}", self.rpc.address);
        NodeConfig::new("process", url.parse().unwrap(), auth)
    }

    pub fn cookie_file(&self) -> PathBuf {
        self.dir.path().join("regtest/.cookie")
    }

    /// A blocking client.
    pub fn rpc(&self) -> Rpc {
        Rpc::new(&self.config())
    }

    /// Where it publishes.
    pub fn zmq(&self) -> ZmqEndpoints {
        ZmqEndpoints::all_at(format!("tcp://{}", self.zmq.address).parse().unwrap())
    }

    /// Has it make a block; the block's hash.
    pub fn mine(&self) -> String {
        let script = json!("bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202");
        let made: Vec<String> = self
            .rpc()
            .call("generatetoaddress", &[json!(1), script], PATIENCE)
            .unwrap();
        made[0].clone()
    }

    /// What its cookie file holds.
    pub fn cookie(&self) -> Vec<u8> {
        fs::read(self.cookie_file()).unwrap()
    }
}
