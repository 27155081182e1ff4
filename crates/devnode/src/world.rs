//! Everything behind the lock: the block tree, the coins, the mempool, and what happens to them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin::consensus::{deserialize, serialize};
use chain::{Network, Params};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::coins::{self, Coins};
use crate::config::DevnodeConfig;
use crate::deployments::Deployments;
use crate::devnode::Tip;
use crate::error::DevnodeError;
use crate::events::EventSink;
use crate::faults::Faults;
use crate::index::{Body, Index};
use crate::mempool::{Change, Mempool};
use crate::store::{Record, Store};
use crate::template::CachedTemplate;
use crate::wallet::Wallet;

/// A tip older than this means initial block download, in seconds (`-maxtipage`).
const MAX_TIP_AGE_S: u32 = 24 * 3_600;

/// The node's state. Its operations are spread over the files that are about them: `submit` takes
/// blocks in, `activate` moves the tip, `template` and `mine` make blocks.
pub(crate) struct World {
    pub(crate) params: &'static Params,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) index: Index,
    pub(crate) coins: Coins,
    /// What each block of the active branch changed.
    pub(crate) undo: HashMap<BlockHash, coins::Change>,
    pub(crate) mempool: Mempool,
    pub(crate) wallet: Wallet,
    pub(crate) events: EventSink,
    pub(crate) tip_watch: watch::Sender<BlockHash>,
    pub(crate) template: Option<CachedTemplate>,
    pub(crate) template_max_age: Duration,
    pub(crate) deployments: Deployments,
    pub(crate) store: Option<Store>,
    /// Initial block download; once over, it stays over until the next start.
    pub(crate) ibd: bool,
    /// The blocks that failed while the best chain was last looked for, and why.
    pub(crate) failures: Vec<(BlockHash, Cow<'static, str>)>,
    /// What `generate` puts into each coinbase to make it unique.
    pub(crate) mined: u64,
}

impl World {
    /// A world of nothing but the genesis block, or of what the block file in `dir` tells.
    pub(crate) fn open(
        config: &DevnodeConfig,
        dir: &Path,
        clock: Arc<dyn Clock>,
        faults: Faults,
        events: EventSink,
    ) -> Result<Self, DevnodeError> {
        let genesis = Network::Regtest.genesis();
        let body = Body {
            raw: serialize(genesis).into(),
            transactions: genesis.txdata.len() as u64,
        };
        let mut world = Self {
            params: Network::Regtest.params(),
            clock,
            index: Index::new(genesis.header, &body),
            // As in Bitcoin Core, the genesis block's output is no coin.
            coins: Coins::default(),
            undo: HashMap::new(),
            mempool: Mempool::new(),
            wallet: Wallet::new(),
            events: EventSink::disabled(faults),
            tip_watch: watch::Sender::new(genesis.block_hash()),
            template: None,
            template_max_age: config.template_max_age,
            deployments: Deployments::default(),
            store: None,
            ibd: true,
            failures: Vec::new(),
            mined: 0,
        };
        if config.persist {
            let (store, records) = Store::open(&dir.join("blocks.dat"))?;
            for record in records {
                world.replay(record);
            }
            world.store = Some(store);
        }
        world.events = events;
        Ok(world)
    }

    /// History is not announced and not written again; what it said then holds now.
    fn replay(&mut self, record: Record) {
        match record {
            Record::Block(raw) => match deserialize(&raw) {
                Ok(block) => {
                    if let Some(reason) = self.submit(block, false) {
                        tracing::debug!(reason, "kept block, when read again");
                    }
                }
                Err(error) => tracing::warn!(%error, "kept block does not decode"),
            },
            Record::Invalidated(hash) => {
                let _ = self.invalidate(hash);
            }
            Record::Reconsidered(hash) => {
                let _ = self.reconsider(hash);
            }
        }
    }

    pub(crate) fn keep(&mut self, record: &Record) {
        if let Some(store) = &mut self.store {
            store.append(record);
        }
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn mempool(&self) -> &Mempool {
        &self.mempool
    }

    pub(crate) fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    pub(crate) fn watch_tip(&self) -> watch::Receiver<BlockHash> {
        self.tip_watch.subscribe()
    }

    pub(crate) fn tip(&self) -> Tip {
        let entry = self.index.tip();
        Tip {
            hash: self.index.tip_hash(),
            height: entry.height,
            time: entry.header.time,
        }
    }

    /// The height of the block after the best one.
    pub(crate) fn next_height(&self) -> u32 {
        self.index.height() + 1
    }

    /// Whether the node says of itself that it is still catching up.
    pub(crate) fn in_ibd(&self) -> bool {
        self.ibd
    }

    /// What a restart forgets: the template, and that initial block download was over.
    pub(crate) fn start_again(&mut self) {
        self.template = None;
        self.ibd = true;
        self.update_ibd();
    }

    /// Ends initial block download once the tip is recent.
    pub(crate) fn update_ibd(&mut self) {
        let age = self
            .clock
            .now()
            .saturating_sub(self.index.tip().header.time);
        if self.ibd && age <= MAX_TIP_AGE_S {
            self.ibd = false;
        }
    }

    pub(crate) fn announce(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Added(txid, number) => self.events.transaction_added(txid, number),
                Change::Removed(txid, number) => self.events.transaction_removed(txid, number),
            }
        }
    }
}
