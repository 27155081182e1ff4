//! Bitcoin Core over JSON-RPC and ZMQ.
