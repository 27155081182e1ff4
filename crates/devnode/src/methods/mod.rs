//! The RPC methods: one table of names, parameters and functions; a file per subject.

mod address;
mod args;
mod blocks;
mod chain_info;
mod control;
mod json;
mod mining;
mod pool;
mod template;
mod transaction;

use std::sync::Arc;

use crate::envelope::{Call, RpcError, RpcResult};
use crate::node::Node;

use args::{Args, Kind, Param, optional, required};

/// A method, its parameters in order, and what it does.
struct Method {
    name: &'static str,
    params: &'static [Param],
    run: fn(&Node, &Args) -> RpcResult,
}

/// Everything but `getblocktemplate`, which may wait.
const METHODS: &[Method] = &[
    Method {
        name: "generatetoaddress",
        params: &[
            required("nblocks", Kind::Number),
            required("address", Kind::String),
            optional("maxtries", Kind::Number),
        ],
        run: mining::generate_to_address,
    },
    Method {
        name: "getbestblockhash",
        params: &[],
        run: chain_info::best_block_hash,
    },
    Method {
        name: "getblock",
        params: &[
            required("blockhash", Kind::String),
            optional("verbosity|verbose", Kind::Any),
        ],
        run: blocks::block,
    },
    Method {
        name: "getblockchaininfo",
        params: &[],
        run: chain_info::blockchain_info,
    },
    Method {
        name: "getblockcount",
        params: &[],
        run: chain_info::block_count,
    },
    Method {
        name: "getblockhash",
        params: &[required("height", Kind::Number)],
        run: chain_info::block_hash,
    },
    Method {
        name: "getblockheader",
        params: &[
            required("blockhash", Kind::String),
            optional("verbose", Kind::Bool),
        ],
        run: blocks::header,
    },
    Method {
        name: "getchaintips",
        params: &[],
        run: chain_info::chain_tips,
    },
    Method {
        name: "getmempoolinfo",
        params: &[],
        run: pool::mempool_info,
    },
    Method {
        name: "getmininginfo",
        params: &[],
        run: mining::mining_info,
    },
    Method {
        name: "getnetworkinfo",
        params: &[],
        run: control::network_info,
    },
    Method {
        name: "getrawmempool",
        params: &[
            optional("verbose", Kind::Bool),
            optional("mempool_sequence", Kind::Bool),
        ],
        run: pool::raw_mempool,
    },
    Method {
        name: "getzmqnotifications",
        params: &[],
        run: control::zmq_notifications,
    },
    Method {
        name: "invalidateblock",
        params: &[required("blockhash", Kind::String)],
        run: mining::invalidate_block,
    },
    Method {
        name: "reconsiderblock",
        params: &[required("blockhash", Kind::String)],
        run: mining::reconsider_block,
    },
    Method {
        name: "sendrawtransaction",
        params: &[
            required("hexstring", Kind::String),
            optional("maxfeerate", Kind::Any),
            optional("maxburnamount", Kind::Any),
        ],
        run: pool::send_raw_transaction,
    },
    Method {
        name: "stop",
        params: &[],
        run: control::stop,
    },
    Method {
        name: "submitblock",
        params: &[
            required("hexdata", Kind::String),
            optional("dummy", Kind::Any),
        ],
        run: mining::submit_block,
    },
    Method {
        name: "submitheader",
        params: &[required("hexdata", Kind::String)],
        run: mining::submit_header,
    },
    Method {
        name: "uptime",
        params: &[],
        run: control::uptime,
    },
    Method {
        name: "validateaddress",
        params: &[required("address", Kind::String)],
        run: address::validate,
    },
];

/// `getblocktemplate`, which alone may wait.
pub(crate) const TEMPLATE: &str = template::NAME;

/// The names of all methods.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    std::iter::once(TEMPLATE).chain(METHODS.iter().map(|method| method.name))
}

/// A result from any JSON.
pub(crate) fn result(value: &serde_json::Value) -> RpcResult {
    json::result(value)
}

/// Carries out a call. Methods run off the threads that serve the sockets, as they may have to wait
/// for the chain or work for long.
pub(crate) async fn call(node: &Arc<Node>, call: Call) -> RpcResult {
    if node.is_warming_up() {
        return Err(RpcError::new(RpcError::WARM_UP, "Loading block index…"));
    }
    if call.method == template::NAME {
        let args = args::bind(template::NAME, template::PARAMS, call.params)?;
        return template::get_block_template(node, args).await;
    }
    let method = METHODS
        .iter()
        .find(|method| method.name == call.method)
        .ok_or_else(RpcError::method_not_found)?;
    let args = args::bind(method.name, method.params, call.params)?;
    let node = Arc::clone(node);
    aside(move || (method.run)(&node, &args)).await
}

/// Runs on a thread of its own kind; a panic there is a bug of one method, not the end of the server.
async fn aside(work: impl FnOnce() -> RpcResult + Send + 'static) -> RpcResult {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "an RPC method failed");
            Err(RpcError::new(RpcError::INTERNAL, "Internal error"))
        }
    }
}
