//! Feeds mined blocks to Bitcoin Core's own consensus code.
