//! The block tree: every header ever accepted, what is known of each, and which branch is active.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::block::Header;
use chain::Ancestors;
use pow::{NBits, Target, Work};

/// Whether a block may become part of the best chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is known against it.
    None,
    /// It broke a rule, or was invalidated by hand.
    Failed,
    /// One of its ancestors did.
    Descendant,
}

/// A block's body as it was received, without trailing bytes.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) raw: Arc<[u8]>,
    pub(crate) transactions: u64,
}

/// One header and what is known of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) header: Header,
    pub(crate) height: u32,
    /// Work of the whole branch up to and including this block.
    pub(crate) work: Work,
    pub(crate) body: Option<Body>,
    pub(crate) fault: Fault,
    /// It has been part of the best chain, so its transactions are known to be good.
    pub(crate) was_connected: bool,
    /// Transactions in the branch, or 0 while a body is missing somewhere below.
    pub(crate) chain_transactions: u64,
    /// Order of arrival of the body; of two branches with equal work, the earlier stays.
    arrival: u64,
}

impl Entry {
    /// More work, or as much and earlier: then this is the better end for a chain.
    pub(crate) fn beats(&self, other: &Self) -> bool {
        self.work > other.work || (self.work == other.work && self.arrival < other.arrival)
    }
}

/// The tree and its active branch.
pub(crate) struct Index {
    entries: HashMap<BlockHash, Entry>,
    children: HashMap<BlockHash, Vec<BlockHash>>,
    active: Vec<BlockHash>,
    best_header: BlockHash,
    bodies_bytes: u64,
    arrivals: u64,
}

impl Index {
    /// A tree of nothing but its genesis block.
    pub(crate) fn new(genesis: Header, body: &Body) -> Self {
        let hash = genesis.block_hash();
        let entry = Entry {
            header: genesis,
            height: 0,
            work: work_of(&genesis),
            chain_transactions: body.transactions,
            body: Some(body.clone()),
            fault: Fault::None,
            was_connected: true,
            arrival: 0,
        };
        Self {
            entries: HashMap::from([(hash, entry)]),
            children: HashMap::new(),
            active: vec![hash],
            best_header: hash,
            bodies_bytes: stored_size(body),
            arrivals: 0,
        }
    }

    pub(crate) fn get(&self, hash: &BlockHash) -> Option<&Entry> {
        self.entries.get(hash)
    }

    /// An entry that is known to exist because it was reached through the tree.
    pub(crate) fn known(&self, hash: &BlockHash) -> &Entry {
        &self.entries[hash]
    }

    pub(crate) fn tip_hash(&self) -> BlockHash {
        self.active[self.active.len() - 1]
    }

    pub(crate) fn tip(&self) -> &Entry {
        self.known(&self.tip_hash())
    }

    pub(crate) fn height(&self) -> u32 {
        self.active.len() as u32 - 1
    }

    pub(crate) fn active_hash(&self, height: u32) -> Option<BlockHash> {
        self.active.get(height as usize).copied()
    }

    pub(crate) fn is_active(&self, hash: &BlockHash) -> bool {
        self.get(hash)
            .is_some_and(|entry| self.active_hash(entry.height) == Some(*hash))
    }

    /// The header with most work that nothing is known against.
    pub(crate) fn best_header(&self) -> &Entry {
        self.known(&self.best_header)
    }

    pub(crate) fn raw_block(&self, hash: &BlockHash) -> Option<Arc<[u8]>> {
        let body = self.get(hash)?.body.as_ref()?;
        Some(Arc::clone(&body.raw))
    }

    /// What the bodies would take on Bitcoin Core's disk, in bytes.
    pub(crate) fn size_on_disk(&self) -> u64 {
        self.bodies_bytes
    }

    pub(crate) fn has_children(&self, hash: &BlockHash) -> bool {
        self.children.contains_key(hash)
    }

    /// The branch that ends in `tip`, for the rules.
    pub(crate) fn branch(&self, tip: &BlockHash) -> Branch<'_> {
        let mut side = Vec::new();
        let mut cursor = *tip;
        while !self.is_active(&cursor) {
            side.push(cursor);
            cursor = self.known(&cursor).header.prev_blockhash;
        }
        Branch {
            index: self,
            tip_height: self.known(tip).height,
            fork_height: self.known(&cursor).height,
            side,
        }
    }

    /// Median time past of the branch up to and including `hash`: the time its child must pass.
    pub(crate) fn median_time(&self, hash: &BlockHash) -> u32 {
        let height = self.known(hash).height;
        // A branch is complete down to its genesis block.
        chain::median_time_past(&self.branch(hash), height).unwrap_or_default()
    }

    /// Adds a header whose parent is known. A known header is left as it is.
    pub(crate) fn add_header(&mut self, header: Header) -> BlockHash {
        let hash = header.block_hash();
        if self.entries.contains_key(&hash) {
            return hash;
        }
        let parent = self.known(&header.prev_blockhash);
        let entry = Entry {
            header,
            height: parent.height + 1,
            work: parent.work + work_of(&header),
            body: None,
            fault: match parent.fault {
                Fault::None => Fault::None,
                Fault::Failed | Fault::Descendant => Fault::Descendant,
            },
            was_connected: false,
            chain_transactions: 0,
            arrival: 0,
        };
        if entry.fault == Fault::None && entry.work > self.best_header().work {
            self.best_header = hash;
        }
        self.children
            .entry(header.prev_blockhash)
            .or_default()
            .push(hash);
        self.entries.insert(hash, entry);
        hash
    }

    /// Adds a body to a known header and returns the blocks that are complete down to the genesis
    /// block only since: this one and its waiting descendants, parents first.
    pub(crate) fn add_body(&mut self, hash: BlockHash, body: Body) -> Vec<BlockHash> {
        self.arrivals += 1;
        self.bodies_bytes += stored_size(&body);
        let arrival = self.arrivals;
        if let Some(entry) = self.entries.get_mut(&hash) {
            entry.body = Some(body);
            entry.arrival = arrival;
        }
        let mut completed = Vec::new();
        let mut queue = vec![hash];
        while let Some(hash) = queue.pop() {
            let entry = self.known(&hash);
            let below = self.known(&entry.header.prev_blockhash).chain_transactions;
            let Some(body) = entry.body.as_ref().filter(|_| below > 0) else {
                continue;
            };
            let total = below + body.transactions;
            if let Some(entry) = self.entries.get_mut(&hash) {
                entry.chain_transactions = total;
            }
            completed.push(hash);
            queue.extend(self.children.get(&hash).into_iter().flatten());
        }
        completed
    }

    /// Of `hashes`, the one that the best chain should end in, if it beats the present tip.
    pub(crate) fn best_of(&self, hashes: impl Iterator<Item = BlockHash>) -> Option<BlockHash> {
        let (mut best, mut entry) = (None, self.tip());
        for hash in hashes {
            let other = self.known(&hash);
            if other.fault == Fault::None && other.chain_transactions > 0 && other.beats(entry) {
                (best, entry) = (Some(hash), other);
            }
        }
        best
    }

    /// [`best_of`](Self::best_of) over everything.
    pub(crate) fn best_of_all(&self) -> Option<BlockHash> {
        self.best_of(self.entries.keys().copied())
    }

    /// The blocks from just above the active branch up to and including `hash`, parents first, and
    /// the height of the fork.
    pub(crate) fn path_to(&self, hash: &BlockHash) -> (u32, Vec<BlockHash>) {
        let branch = self.branch(hash);
        let mut path = branch.side.clone();
        path.reverse();
        (branch.fork_height, path)
    }

    /// Makes `hash`, a child of the tip, the tip.
    pub(crate) fn push_active(&mut self, hash: BlockHash) {
        self.active.push(hash);
        if let Some(entry) = self.entries.get_mut(&hash) {
            entry.was_connected = true;
        }
    }

    /// Takes the tip off the active branch. The genesis block stays.
    pub(crate) fn pop_active(&mut self) -> Option<BlockHash> {
        if self.active.len() > 1 {
            self.active.pop()
        } else {
            None
        }
    }

    /// Marks a block as failed and everything above it as its descendant.
    pub(crate) fn mark_failed(&mut self, hash: BlockHash) {
        self.set_fault(hash, Fault::Failed);
        for above in self.descendants(hash) {
            if self.known(&above).fault == Fault::None {
                self.set_fault(above, Fault::Descendant);
            }
        }
        self.find_best_header();
    }

    /// Forgets what was held against a block, its ancestors and its descendants.
    pub(crate) fn clear_faults(&mut self, hash: BlockHash) {
        let mut cursor = hash;
        while self.known(&cursor).height > 0 {
            self.set_fault(cursor, Fault::None);
            cursor = self.known(&cursor).header.prev_blockhash;
        }
        for above in self.descendants(hash) {
            self.set_fault(above, Fault::None);
        }
        self.find_best_header();
    }

    fn set_fault(&mut self, hash: BlockHash, fault: Fault) {
        if let Some(entry) = self.entries.get_mut(&hash) {
            entry.fault = fault;
        }
    }

    fn descendants(&self, hash: BlockHash) -> Vec<BlockHash> {
        let mut found = Vec::new();
        let mut queue = vec![hash];
        while let Some(hash) = queue.pop() {
            let above = self.children.get(&hash).into_iter().flatten();
            found.extend(above.clone());
            queue.extend(above);
        }
        found
    }

    fn find_best_header(&mut self) {
        let tip = self.tip_hash();
        let mut best = (tip, self.known(&tip).work);
        for (hash, entry) in &self.entries {
            if entry.fault == Fault::None && entry.work > best.1 {
                best = (*hash, entry.work);
            }
        }
        self.best_header = best.0;
    }

    /// The ends of all branches, the active one included even where known headers go on above it.
    pub(crate) fn tips(&self) -> HashSet<BlockHash> {
        let ends = self.entries.keys().filter(|hash| !self.has_children(hash));
        ends.copied().chain([self.tip_hash()]).collect()
    }
}

/// One branch of the tree, seen by height.
pub(crate) struct Branch<'a> {
    index: &'a Index,
    tip_height: u32,
    fork_height: u32,
    /// What is not on the active branch, from the tip downwards.
    side: Vec<BlockHash>,
}

impl Branch<'_> {
    pub(crate) fn fork_height(&self) -> u32 {
        self.fork_height
    }
}

impl Ancestors for Branch<'_> {
    fn header_at(&self, height: u32) -> Option<&Header> {
        let hash = if height > self.tip_height {
            return None;
        } else if height > self.fork_height {
            self.side[(self.tip_height - height) as usize]
        } else {
            self.index.active_hash(height)?
        };
        self.index.get(&hash).map(|entry| &entry.header)
    }
}

/// The expected hashes behind a header with acceptable nBits.
fn work_of(header: &Header) -> Work {
    Target::from_nbits(NBits(header.bits.to_consensus())).map_or(Work::default(), Target::work)
}

/// Bitcoin Core puts eight bytes before each block in its files.
fn stored_size(body: &Body) -> u64 {
    body.raw.len() as u64 + 8
}
