//! What outlives the supervision tree, and so every reload: the lock on the directories, the journal of
//! found blocks, the control socket, the cells between the children and the counters of the run.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use actors::advisor::Desk;
use actors::api::{ControlSocket, Http};
use actors::board::Board;
use actors::miner::{Holds, KernelFaults};
use actors::stats::{ChildView, Opened, Scribe, StatsFiles, Totals};
use actors::submitter::journal::{self, Journal, RealDisk};
use advisor::process::Jail;
use anyhow::Context as _;
use tracing::{info, warn};

use crate::config::{MAX_THREADS, Settings};
use crate::instance::Instance;
use crate::logging;

/// How long the journal may take to be written out at the end.
const JOURNAL_CLOSE: Duration = Duration::from_secs(2);

/// One run of the program, whatever trees it has in it.
#[derive(Debug)]
pub struct World {
    /// The cells between the children, and the registry of counters.
    pub board: Board,
    /// Found blocks.
    pub journal: Arc<Journal>,
    /// Where commands are answered.
    pub socket: Arc<ControlSocket>,
    /// The files of statistics.
    pub files: Arc<StatsFiles>,
    /// What is held against hashing kernels in this process.
    pub kernel_faults: KernelFaults,
    /// The advisor's jail, its counts and its track record.
    pub advisor: Arc<Desk>,
    /// How long hashing was held, in this run and before.
    pub holds: Holds,
    /// Where HTTP is answered, and where that was asked for.
    http: Mutex<(Option<SocketAddr>, Http)>,
    /// What children counted in trees that have ended, by id.
    counted: Mutex<Counts>,
    /// Released last.
    _instance: Instance,
}

/// Incarnations and restarts of children in trees that have ended, by the child's id.
#[derive(Debug, Clone, Default)]
pub struct Counts(HashMap<String, (u64, u64)>);

impl Counts {
    /// Adds them to what the children of a later tree count.
    pub fn add_to(&self, views: &mut [ChildView]) {
        for view in views {
            let (generation, restarts) = self.0.get(&view.id).copied().unwrap_or_default();
            view.generation += generation;
            view.restarts += restarts;
        }
    }
}

impl World {
    /// Claims the directories, opens the log file and the journal, listens.
    ///
    /// # Errors
    /// Another instance uses the directories (exit 75), one of them cannot be made, the journal
    /// cannot be read, the socket's path is too long.
    pub fn open(settings: &Settings) -> anyhow::Result<Self> {
        let instance = Instance::claim(settings)?;
        logging::attach(settings)?;
        let journal = Journal::open(
            &settings.journal_dir(),
            Arc::new(RealDisk),
            SystemTime::now(),
        )?;
        let socket = ControlSocket::bind(&settings.control_socket())?;
        // As many counters as a later configuration may want threads.
        let mut board = Board::new(MAX_THREADS);
        board.log = logging::book();
        let (files, past) = statistics(settings)?;
        // The cell is new and empty.
        let _ = board.past.set(past);
        Ok(Self {
            board,
            files: Arc::new(files),
            journal: Arc::new(journal),
            socket: Arc::new(socket),
            kernel_faults: KernelFaults::default(),
            advisor: Arc::new(
                Desk::open(
                    Jail::of_this_program(),
                    &settings.data_dir.join("advisor.json"),
                    SystemTime::now(),
                )
                .context("cannot start the thread that writes the advisor's track record")?,
            ),
            holds: Holds::open(&settings.holds_file(), Instant::now(), SystemTime::now())
                .context("cannot start the thread that writes how long hashing was held")?,
            http: Mutex::new((None, Http::default())),
            counted: Mutex::default(),
            _instance: instance,
        })
    }

    /// The HTTP server's listening end for a tree that wants it at `address`: the same as for the tree
    /// before, unless that wanted another or could not have it.
    pub fn http(&self, address: Option<SocketAddr>) -> Http {
        let mut http = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        if http.0 != address || http.1.trouble().is_some() {
            // The old one is closed first.
            *http = (address, Http::default());
            http.1 = Http::open(address);
        }
        http.1.clone()
    }

    /// A tree has ended with these children, the counts of earlier ones included.
    pub fn keep_counts(&self, views: &[ChildView]) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        for view in views {
            let counts = (view.generation, view.restarts);
            counted.0.insert(view.id.clone(), counts);
        }
    }

    /// What the children of all trees that have ended counted.
    pub fn counts(&self) -> Counts {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.clone()
    }

    /// Writes the journal out. False where its disk does not take it.
    pub fn close(&self) -> bool {
        let written = self.journal.close(JOURNAL_CLOSE);
        if written {
            info!("the journal of found blocks is on disk and closed");
        }
        written
    }
}

/// What earlier runs counted, and the files in which this one goes on.
fn statistics(settings: &Settings) -> anyhow::Result<(StatsFiles, Totals)> {
    let path = settings.data_dir.join("statistics.json");
    let blocks = || {
        journal::list(&settings.journal_dir()).unwrap_or_else(|error| {
            warn!("blocks of earlier runs cannot be counted: {error}");
            Vec::new()
        })
    };
    let Opened { past, may_write } = Totals::open(&path, blocks, SystemTime::now());
    let start =
        |path| Scribe::start(path).context("cannot start the thread that writes statistics");
    let files = StatsFiles {
        status: start(settings.runtime_dir.join("status.json"))?,
        totals: may_write.then(|| start(path)).transpose()?,
    };
    Ok((files, past))
}
