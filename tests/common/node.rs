//! A node in a process of its own: Bitcoin Core where `BITCOIND_EXE` names one, or the devnode.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::program::signal;
use super::{ReservedPort, until};

/// Which program a [`Node`] runs.
#[derive(Clone)]
enum Program {
    BitcoinCore(PathBuf),
    Devnode,
}

/// A login every node accepts beside its cookie.
pub const RPC_USER: &str = "miner";
/// Its password.
pub const RPC_PASSWORD: &str = "a password of the tests";
/// The same login as Bitcoin Core wants it: user, salt, HMAC-SHA-256 of the password keyed with the salt.
const RPC_AUTH: &str = "miner:5a1c3b7d9e0f24681357acebd0429f86$\
                        99fc850dbb85c6ceff53195d5bc8a783cb7acba663ef70286cb84e3484319b31";

/// A node with RPC, ZMQ and a data directory of its own. Killed when dropped.
pub struct Node {
    program: Program,
    chain: &'static str,
    options: Vec<String>,
    dir: TempDir,
    rpc_port: ReservedPort,
    zmq_port: ReservedPort,
    child: Option<Child>,
}

/// An error answer: code and message.
#[derive(Debug)]
pub struct RpcError {
    pub code: i64,
    pub message: String,
}

impl Node {
    /// Bitcoin Core, started. None, with a word of it, where `BITCOIND_EXE` names none.
    pub fn bitcoin_core() -> Option<Self> {
        Self::bitcoin_core_with("regtest", &[])
    }

    /// The same on a chain of choice, with further options.
    pub fn bitcoin_core_with(chain: &'static str, options: &[&str]) -> Option<Self> {
        let Some(exe) = std::env::var_os("BITCOIND_EXE") else {
            eprintln!("skipped: BITCOIND_EXE not set");
            return None;
        };
        let program = Program::BitcoinCore(exe.into());
        Some(Self::start_new(program, chain, options))
    }

    /// The devnode, started, its chain kept on disk.
    pub fn devnode() -> Self {
        Self::start_new(Program::Devnode, "regtest", &[])
    }

    /// The same with further options.
    pub fn devnode_with(options: &[&str]) -> Self {
        Self::start_new(Program::Devnode, "regtest", options)
    }

    /// Another one of the same kind.
    pub fn another(&self) -> Self {
        Self::start_new(self.program.clone(), "regtest", &[])
    }

    fn start_new(program: Program, chain: &'static str, options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("password"), RPC_PASSWORD).unwrap();
        let mut node = Self {
            program,
            chain,
            options: options.iter().map(ToString::to_string).collect(),
            dir,
            rpc_port: ReservedPort::new(),
            zmq_port: ReservedPort::new(),
            child: None,
        };
        node.start();
        node
    }

    /// Starts the process and waits until it answers.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let dir = self.dir.path();
        let mut command = match &self.program {
            Program::BitcoinCore(exe) => {
                let mut command = Command::new(exe);
                command
                    .arg(format!("-chain={}", self.chain))
                    .args(["-server=1", "-listen=0", "-dnsseed=0", "-fixedseeds=0"])
                    .args([
                        "-fallbackfee=0.0001",
                        "-printtoconsole=0",
                        "-persistmempool=1",
                        "-rpcbind=127.0.0.1",
                        "-rpcallowip=127.0.0.1",
                    ])
                    .arg(format!("-datadir={}", dir.display()))
                    .arg(format!("-rpcport={}", self.rpc_port.number))
                    .arg(format!("-rpcauth={RPC_AUTH}"));
                for topic in ["hashblock", "rawblock", "sequence"] {
                    command.arg(format!(
                        "-zmqpub{topic}=tcp://127.0.0.1:{}",
                        self.zmq_port.number
                    ));
                }
                command
            }
            Program::Devnode => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_signalcore"));
                command
                    .args(["devnode", "--data-dir"])
                    .arg(dir)
                    .args(["--rpc", &format!("127.0.0.1:{}", self.rpc_port.number)])
                    .args(["--zmq", &format!("127.0.0.1:{}", self.zmq_port.number)])
                    .args(["--rpc-user", RPC_USER, "--rpc-password-file"])
                    .arg(self.password_file());
                command
            }
        };
        command.args(&self.options);
        let log = File::options()
            .create(true)
            .append(true)
            .open(dir.join("node.log"))
            .unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start the node: {error}"));
        self.child = Some(child);
        until("the node answers", || {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!(
                    "the node ended with {status}: {}",
                    fs::read_to_string(self.dir.path().join("node.log")).unwrap()
                );
            }
            self.rpc("getblockchaininfo", json!([])).ok()
        });
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(&mut self) {
        self.rpc("stop", json!([])).unwrap();
        let mut child = self.child.take().expect("it runs");
        until("the node ends", || child.try_wait().unwrap());
    }

    /// Kills it where it stands.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Holds it still, as a machine does that swaps or is suspended.
    pub fn freeze(&self) {
        signal(self.pid(), "STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        signal(self.pid(), "CONT");
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Has its chain written to disk, so that a kill cannot take blocks back: Bitcoin Core writes them
    /// now and then, and whenever it counts its coins. The devnode always has.
    pub fn flush(&self) {
        if matches!(self.program, Program::BitcoinCore(_)) {
            self.call("gettxoutsetinfo", json!([]));
        }
    }

    /// Its RPC address.
    pub fn rpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.rpc_port.number)
    }

    /// Where it publishes.
    pub fn zmq(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.zmq_port.number)
    }

    /// Its cookie file, there while it runs.
    pub fn cookie_file(&self) -> PathBuf {
        self.dir.path().join(self.chain).join(".cookie")
    }

    /// File that holds the password of [`RPC_USER`].
    pub fn password_file(&self) -> PathBuf {
        self.dir.path().join("password")
    }

    /// One RPC call on a connection of its own.
    pub fn rpc(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        result(self.post(&request)?)
    }

    /// Calls of one method in one request, carried out in order, all of which must succeed.
    pub fn batch(&self, method: &str, params: impl IntoIterator<Item = Value>) -> Vec<Value> {
        let request: Value = params
            .into_iter()
            .enumerate()
            .map(|(id, params)| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .collect();
        let answers = self.post(&request).unwrap();
        let answers = answers.as_array().unwrap().iter().cloned();
        answers.map(|answer| result(answer).unwrap()).collect()
    }

    fn post(&self, request: &Value) -> Result<Value, RpcError> {
        let failed = |message: String| RpcError { code: 0, message };
        let cookie =
            fs::read_to_string(self.cookie_file()).map_err(|error| failed(error.to_string()))?;
        let login = base64::engine::general_purpose::STANDARD.encode(cookie.trim());
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(std::time::Duration::from_mins(1)))
            .build()
            .into();
        let mut response = agent
            .post(self.rpc_url())
            .header("Authorization", format!("Basic {login}"))
            .header("Connection", "close")
            .send(request.to_string())
            .map_err(|error| failed(error.to_string()))?;
        let text = response
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_string()
            .map_err(|error| failed(error.to_string()))?;
        serde_json::from_str(&text)
            .map_err(|error| failed(format!("{error}: {} {text}", response.status())))
    }

    /// A call that must succeed.
    pub fn call(&self, method: &str, params: Value) -> Value {
        self.rpc(method, params.clone())
            .unwrap_or_else(|error| panic!("{method} {params}: {} ({})", error.message, error.code))
    }

    /// Height of its tip.
    pub fn height(&self) -> u64 {
        self.call("getblockcount", json!([])).as_u64().unwrap()
    }

    /// Hash of its tip.
    pub fn tip(&self) -> String {
        self.call("getbestblockhash", json!([]))
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Mines `count` blocks to `address`; their hashes.
    pub fn generate(&self, count: u32, address: &str) -> Vec<String> {
        let hashes = self.call("generatetoaddress", json!([count, address]));
        hashes
            .as_array()
            .unwrap()
            .iter()
            .map(|hash| hash.as_str().unwrap().to_owned())
            .collect()
    }

    /// The raw block of a hash, in hexadecimal digits.
    pub fn raw_block(&self, hash: &str) -> String {
        self.call("getblock", json!([hash, 0]))
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Its directory, for files that belong to the test.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// What a JSON-RPC answer holds.
fn result(mut answer: Value) -> Result<Value, RpcError> {
    match answer.get("error") {
        Some(error) if !error.is_null() => Err(RpcError {
            code: error["code"].as_i64().unwrap_or(0),
            message: error["message"].as_str().unwrap_or_default().to_owned(),
        }),
        _ => Ok(answer["result"].take()),
    }
}
