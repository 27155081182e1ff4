//! An embedded regtest node.
