//! The command line: one enum, one struct per command.

use std::path::PathBuf;

use chain::Network;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Supervised Bitcoin mining and proof-of-work validation beside your own Bitcoin Core node.
#[derive(Debug, Parser)]
#[command(name = "signalcore", version, disable_help_subcommand = true)]
pub struct Cli {
    /// Options every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Configuration file (TOML).
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON on stdout, one document to a line, and nothing else.
    #[arg(long, global = true)]
    pub json: bool,
    /// When to colour what goes to a terminal.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
    /// Log more: -v details of each step, -vv everything.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Mine and verify in the foreground until Ctrl-C.
    Run(Run),
    /// Mine and verify under a service manager: tells it when ready, how it goes and that all is well;
    /// SIGHUP reads the configuration again.
    Daemon,
    /// Ask the running instance how it is doing.
    Status,
    /// Ask whether the running instance works on its node's tip: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    #[command(visible_alias = "health")]
    HealthCheck(HealthCheck),
    /// Check headers or a block against the consensus rules, without a node.
    #[command(subcommand)]
    Verify(Verify),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at the journal of found blocks, or give one of them to the nodes again.
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Measure this machine.
    #[command(subcommand)]
    Bench(Bench),
    /// Measure this machine and choose what mines fastest on it: kernel, threads, batch.
    Tune(Tune),
    /// Give orders to the running instance.
    #[command(subcommand)]
    Ops(Ops),
    /// Advise, as `advisor.command = ["builtin"]` does: a question to a line on standard input, an answer to a line on
    /// standard output.
    Advisor(Advisor),
    /// Run the embedded regtest node on its own.
    Devnode(DevnodeArgs),
    /// Keep an advisor's command, by orders on standard input. The daemon starts it; there is nothing to see.
    #[command(hide = true)]
    AdvisorJail {
        /// Which of its two processes this is.
        part: Option<String>,
    },
}

impl Command {
    /// Whether it stays and works, with a log file of its own, rather than answers and ends.
    pub fn is_service(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Daemon)
    }

    /// Whether it says nothing on its way but errors, unless asked: a whole daemon may run inside it.
    pub fn is_quiet(&self) -> bool {
        matches!(self, Self::Bench(_))
    }
}

/// `run`
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// Mine on an embedded regtest node in a temporary directory; needs no configuration.
    #[arg(long, conflicts_with = "config")]
    pub demo: bool,
    /// Stop after this many accepted blocks.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub blocks: Option<u64>,
}

/// `health-check`
#[derive(Debug, Clone, Args)]
pub struct HealthCheck {
    /// Only this component decides, and is shown.
    #[arg(long, value_name = "NAME")]
    pub component: Option<String>,
    /// For a container's health check: exit 0 for OK and WARNING, 1 for anything else.
    #[arg(long)]
    pub container: bool,
}

/// `verify`
#[derive(Debug, Subcommand)]
pub enum Verify {
    /// Concatenated 80-byte headers.
    Headers {
        /// The file; - for standard input.
        file: PathBuf,
        /// The network whose rules apply.
        #[arg(long)]
        network: Network,
        /// Height of the first header in the file.
        #[arg(long, default_value_t = 0, value_name = "H")]
        start_height: u32,
    },
    /// One raw block in consensus encoding.
    Block {
        /// The file; - for standard input.
        file: PathBuf,
        /// The network whose rules apply.
        #[arg(long)]
        network: Network,
        /// The block's height; without it the checks that need it do not apply.
        #[arg(long, value_name = "H")]
        height: Option<u32>,
    },
}

/// `config`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read the configuration as `run` would and say what is wrong with it.
    Check,
    /// Print the configuration as it is in force, all layers merged.
    Show,
    /// Print a configuration to start from, every key explained.
    Init {
        /// Write it to this new file instead.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// `journal`
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// List the blocks this instance found, and what became of them.
    List,
    /// Show everything that is known of a block.
    Show {
        /// The block's hash, or enough of its beginning to tell it from others; leading zeros may be left out.
        hash: String,
        /// Print the raw block in hexadecimal digits, and nothing else.
        #[arg(long, conflicts_with = "json")]
        hex: bool,
        /// Write the raw block to this new file as well.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Give a block to the nodes again, beside a running instance or without one.
    Resubmit {
        /// The block's hash, or enough of its beginning to tell it from others; leading zeros may be left out.
        hash: String,
        /// Only this node, by its configured name.
        #[arg(long, value_name = "NAME")]
        node: Option<String>,
    },
}

/// `bench`
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Hash rate: each kernel by itself, and through the threads of the whole daemon.
    Hash(BenchHash),
    /// How fast headers and blocks are verified.
    Validate(BenchValidate),
    /// How long a new tip, new work and a found block take through the whole daemon, on an embedded node.
    Latency(BenchLatency),
}

/// `bench hash`
#[derive(Debug, Clone, Args)]
pub struct BenchHash {
    /// Hashing threads. With --all, one thread is measured as well.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: u16,
    /// Seconds per line of the result.
    #[arg(long, default_value_t = 3.0, value_name = "S")]
    pub seconds: f64,
    /// Measure this kernel.
    #[arg(long, value_name = "K", conflicts_with = "all")]
    pub kernel: Option<String>,
    /// Measure every kernel this CPU can run.
    #[arg(long)]
    pub all: bool,
    /// Header versions that are hashed together, sharing work; 1 is without version rolling.
    #[arg(long, default_value_t = 64, value_name = "V", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub versions: u16,
    /// Leave the whole daemon out.
    #[arg(long)]
    pub kernels_only: bool,
}

/// `bench validate`
#[derive(Debug, Clone, Args)]
pub struct BenchValidate {
    /// Concatenated 80-byte headers. Default: 16,000 of regtest's difficulty, made here.
    #[arg(long, value_name = "FILE")]
    pub headers: Option<PathBuf>,
    /// Height of the first header in the file.
    #[arg(long, default_value_t = 0, value_name = "H", requires = "headers")]
    pub start_height: u32,
    /// One raw block in consensus encoding. Default: 1 MB of regtest's, made here.
    #[arg(long, value_name = "FILE")]
    pub block: Option<PathBuf>,
    /// The block's height; without it the checks that need it do not apply.
    #[arg(long, value_name = "H", requires = "block")]
    pub height: Option<u32>,
    /// The network of the files.
    #[arg(long, default_value_t = Network::Main)]
    pub network: Network,
    /// Seconds per figure, of which the fastest pass counts.
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    pub seconds: f64,
}

/// `bench latency`
#[derive(Debug, Clone, Args)]
pub struct BenchLatency {
    /// Blocks: every other one found by us, the others by the node. Default: 200, with --full 30.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub blocks: Option<u32>,
    /// Stop after so many seconds, whatever there is then.
    #[arg(long, default_value_t = 120.0, value_name = "S")]
    pub seconds: f64,
    /// Keep the blocks full: 4 million weight units of signed transactions. Preparing them takes about a second for each.
    #[arg(long)]
    pub full: bool,
    /// Hashing threads. Default: as many as the configuration's default.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Where the journal is written, in a temporary directory of its own: its file system decides how long that
    /// takes.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `tune`
#[derive(Debug, Clone, Args)]
pub struct Tune {
    /// Seconds to hash for, all measurements together.
    #[arg(long, default_value_t = 8.0, value_name = "S")]
    pub seconds: f64,
}

/// `ops`
#[derive(Debug, Subcommand)]
pub enum Ops {
    /// Break a part on purpose; refused unless debug.fault_injection = true.
    Fault {
        /// The part, by the name that `status` gives it.
        child: String,
        /// How it breaks.
        #[arg(value_enum)]
        kind: Fault,
        /// How long a hang lasts (default: 60).
        #[arg(long = "for", value_name = "SECONDS")]
        seconds: Option<f64>,
    },
}

/// How a part is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// It panics.
    Panic,
    /// It blocks its thread.
    Hang,
    /// It stops by itself.
    Exit,
}

/// `advisor`
#[derive(Debug, Clone, Args)]
pub struct Advisor {
    /// Print the JSON Schema of questions and answers instead.
    #[arg(long)]
    pub schema: bool,
    /// Keep what is learnt in this file. Default: learn anew each time.
    #[arg(long, value_name = "FILE", conflicts_with = "schema")]
    pub state: Option<PathBuf>,
    /// The machine is too hot above this, in degrees Celsius. Default: as the question says, or 90.
    #[arg(long, value_name = "DEGREES", value_parser = finite)]
    pub temperature_max_c: Option<f64>,
    /// There is too little memory left below this, in MiB. Default: as the question says, or 64.
    #[arg(long, value_name = "MIB", value_parser = finite)]
    pub memory_min_mb: Option<f64>,
}

fn finite(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|error| format!("{error}"))?;
    let finite = number.is_finite().then_some(number);
    finite.ok_or_else(|| "not a finite number".to_owned())
}

/// `devnode`
#[derive(Debug, Clone, Args)]
pub struct DevnodeArgs {
    /// Directory of its chain and cookie. Default: a temporary one.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of the JSON-RPC server; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:18443", value_name = "ADDR")]
    pub rpc: std::net::SocketAddr,
    /// Address of the ZMQ publisher (hashblock, rawblock, sequence).
    #[arg(long, default_value = "127.0.0.1:28332", value_name = "ADDR")]
    pub zmq: std::net::SocketAddr,
    /// Accept this RPC user too, beside the cookie.
    #[arg(long, value_name = "USER", requires = "rpc_password_file")]
    pub rpc_user: Option<String>,
    /// File that holds that user's password.
    #[arg(long, value_name = "FILE", requires = "rpc_user")]
    pub rpc_password_file: Option<PathBuf>,
    /// Mine this many blocks to the node's own key before serving.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub generate: u32,
    /// Fill the mempool with this many signed transactions (needs mature coins: --generate 101 or more).
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub transactions: u32,
    /// Let go wrong what this file says: delays, errors, cut answers, lost notifications, restarts and more
    /// (docs/operations.md has all of them).
    #[arg(long, value_name = "FILE")]
    pub fault: Option<PathBuf>,
}
