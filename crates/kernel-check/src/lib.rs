//! Bitcoin Core's own consensus code as a judge of blocks.
//!
//! For tests only: no other crate depends on this one, since it takes cmake, a C++ compiler and boost
//! headers to build. [`Judge`] keeps a regtest chain of its own; a block is given to it raw, and it
//! says what Bitcoin Core would say, scripts included.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError};

use bitcoinkernel::prelude::*;
use bitcoinkernel::{
    Block, BlockValidationResult, BlockValidationStateRef, ChainType, ChainstateManager, Context,
    ContextBuilder, KernelError, ProcessBlockResult, ValidationMode,
};
use tempfile::TempDir;

/// What the consensus code says of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Valid, and the new tip.
    NewTip,
    /// Taken in without becoming the tip.
    Aside,
    /// Known already.
    Duplicate,
    /// Refused; the class of the rule that was broken. None where it was refused before any check:
    /// bytes that are no block.
    Rejected(Option<BlockValidationResult>),
}

/// A regtest chain that only Bitcoin Core's consensus code extends.
pub struct Judge {
    manager: ChainstateManager,
    checked: Arc<Mutex<Option<(ValidationMode, BlockValidationResult)>>>,
    // The manager borrows from the context behind the binding's back, and both use the directory.
    _context: Context,
    _dir: TempDir,
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge")
            .field("height", &self.height())
            .finish_non_exhaustive()
    }
}

impl Judge {
    /// A chain of nothing but regtest's genesis block.
    ///
    /// # Errors
    /// The consensus code cannot be set up.
    ///
    /// # Panics
    /// Without a temporary directory.
    pub fn regtest() -> Result<Self, KernelError> {
        let checked = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&checked);
        let context = ContextBuilder::new()
            .chain_type(ChainType::Regtest)
            .with_block_checked_validation(move |_: Block, state: BlockValidationStateRef<'_>| {
                *seen.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((state.mode(), state.result()));
            })
            .build()?;
        let dir = TempDir::new().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let manager = ChainstateManager::builder(&context, &path("data"), &path("blocks"))?
            .block_tree_db_in_memory(true)
            .chainstate_db_in_memory(true)
            .build()?;
        Ok(Self {
            manager,
            checked,
            _context: context,
            _dir: dir,
        })
    }

    /// The height of the tip.
    pub fn height(&self) -> i32 {
        self.manager.active_chain().height()
    }

    /// Gives a raw block to the consensus code.
    ///
    /// # Panics
    /// If what the code returns, what it told the callback and what its chain looks like afterwards
    /// contradict one another.
    pub fn judge(&self, raw: &[u8]) -> Verdict {
        *self.lock() = None;
        let before = self.height();
        let Ok(block) = Block::new(raw) else {
            return Verdict::Rejected(None);
        };
        let result = self.manager.process_block(&block);
        let checked = *self.lock();
        match (result, checked) {
            (ProcessBlockResult::NewBlock, Some((ValidationMode::Valid, _))) => {
                assert_eq!(
                    self.height(),
                    before + 1,
                    "a block that was checked as valid is the new tip"
                );
                Verdict::NewTip
            }
            (ProcessBlockResult::NewBlock, None) => {
                assert_eq!(
                    self.height(),
                    before,
                    "a block that was not checked is no tip"
                );
                Verdict::Aside
            }
            (ProcessBlockResult::Duplicate, _) => Verdict::Duplicate,
            // Some rules are only checked when the block is connected: the call succeeds, the check does not.
            (ProcessBlockResult::NewBlock | ProcessBlockResult::Rejected, Some((_, result))) => {
                assert_eq!(self.height(), before, "a refused block is no tip");
                Verdict::Rejected(Some(result))
            }
            (ProcessBlockResult::Rejected, None) => {
                assert_eq!(self.height(), before, "a refused block is no tip");
                Verdict::Rejected(None)
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(ValidationMode, BlockValidationResult)>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
