//! What a node needs to be reached: checked once, when it is made.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::auth::Credentials;
use crate::error::{ConfigError, NodeError};

/// One Bitcoin Core node: where it is, how to log in, where it announces blocks.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The operator's name for this node; it prefixes thread names and log lines.
    pub name: String,
    /// Address of the JSON-RPC server.
    pub rpc_url: RpcUrl,
    /// How to log in there.
    pub auth: Auth,
    /// ZMQ publishers, each optional.
    pub zmq: ZmqEndpoints,
    /// Deadlines of calls.
    pub timeouts: Timeouts,
}

impl NodeConfig {
    /// A node with the given name, address and login, default [`Timeouts`] and no ZMQ.
    pub fn new(name: impl Into<String>, rpc_url: RpcUrl, auth: Auth) -> Self {
        Self {
            name: name.into(),
            rpc_url,
            auth,
            zmq: ZmqEndpoints::default(),
            timeouts: Timeouts::default(),
        }
    }
}

/// How to log in to the JSON-RPC server. `Debug` never shows the password.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Bitcoin Core's cookie file (`<datadir>/<chain>/.cookie`). Core writes a new one at every
    /// start; it is read again whenever the node answers 401.
    CookieFile(PathBuf),
    /// `rpcuser`/`rpcpassword` or an `rpcauth` line.
    UserPassword {
        /// The user name.
        user: String,
        /// The password.
        password: Password,
    },
}

impl Auth {
    /// Looks whether there is something to log in with, without contacting the node: for a check of
    /// the configuration. That the cookie file is missing may only mean that the node has not been
    /// started yet; any other failure is one of the configuration.
    ///
    /// # Errors
    /// [`NodeError::Cookie`], with the [`std::io::Error`] as its source.
    pub fn check(&self) -> Result<(), NodeError> {
        Credentials::new(self.clone()).get().map(drop)
    }
}

/// A secret: printed as `***`, wherever it turns up.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The secret itself, for the one place that sends it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Password {
    fn from(secret: T) -> Self {
        Self(secret.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Deadlines. Each covers a whole call: name look-up, connecting, writing, waiting, reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Establishing a TCP connection, within the call's own deadline. Default 5 s.
    pub connect: Duration,
    /// An ordinary call. Default 15 s: a node that connects a large block answers late.
    pub call: Duration,
    /// A batch of up to [`MAX_BATCH`](crate::MAX_BATCH) headers, or a block. Default 60 s.
    pub bulk: Duration,
    /// `submitblock`. Default 60 s: Core answers after it has validated the block.
    pub submit: Duration,
    /// A long poll. Default one hour. Core has no bound of its own and never notices that its
    /// client has gone: each long poll that we abandon holds one of its RPC threads until the next
    /// block or mempool change, so short deadlines would use up `-rpcthreads`. A peer that has
    /// vanished is noticed by TCP keepalive long before.
    pub long_poll: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            call: Duration::from_secs(15),
            bulk: Duration::from_mins(1),
            submit: Duration::from_mins(1),
            long_poll: Duration::from_hours(1),
        }
    }
}

/// Address of a JSON-RPC server, `http://host:port[/wallet/...]`. Parsing is the only way to get one,
/// so it never holds credentials and can be shown to anybody.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RpcUrl(String);

impl RpcUrl {
    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RpcUrl {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let text = text.trim();
        let invalid = |why: &'static str| ConfigError::RpcUrl {
            url: text.to_owned(),
            why,
        };
        let Some((scheme, rest)) = text.split_once("://") else {
            // `user:secret@host` has no scheme but must not be echoed either.
            if text.contains('@') {
                return Err(ConfigError::CredentialsInUrl);
            }
            return Err(invalid("it has no scheme; write http://HOST:PORT"));
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if authority.contains('@') {
            return Err(ConfigError::CredentialsInUrl);
        }
        match scheme {
            "http" => {}
            "https" => {
                return Err(invalid(
                    "Bitcoin Core speaks no TLS; write http://, and tunnel (SSH, WireGuard) to a remote node",
                ));
            }
            _ => return Err(invalid("only http:// is spoken by Bitcoin Core")),
        }
        if text.contains(['?', '#']) || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(invalid("it contains a query, a fragment or white space"));
        }
        check_authority(authority).map_err(invalid)?;
        if !(path.is_empty() || path == "/" || path.starts_with("/wallet/")) {
            return Err(invalid(
                "Bitcoin Core answers only on / and /wallet/NAME; leave the path out",
            ));
        }
        let url = format!(
            "http://{authority}{}",
            if path.is_empty() { "/" } else { path }
        );
        if url.parse::<ureq::http::Uri>().is_err() {
            return Err(invalid("it is not a valid URL"));
        }
        Ok(Self(url))
    }
}

impl fmt::Display for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Where a node publishes, per topic. Equal endpoints share one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZmqEndpoints {
    /// `zmqpubhashblock`.
    pub hashblock: Option<ZmqEndpoint>,
    /// `zmqpubrawblock`.
    pub rawblock: Option<ZmqEndpoint>,
    /// `zmqpubsequence`.
    pub sequence: Option<ZmqEndpoint>,
}

impl ZmqEndpoints {
    /// Every topic at one endpoint.
    pub fn all_at(endpoint: ZmqEndpoint) -> Self {
        Self {
            hashblock: Some(endpoint.clone()),
            rawblock: Some(endpoint.clone()),
            sequence: Some(endpoint),
        }
    }

    /// Whether no topic has an endpoint: polling only.
    pub fn is_empty(&self) -> bool {
        self.hashblock.is_none() && self.rawblock.is_none() && self.sequence.is_none()
    }
}

/// A ZMQ publisher's address, `tcp://host:port`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ZmqEndpoint {
    authority: String,
}

impl ZmqEndpoint {
    /// `host:port`, as a TCP connect wants it.
    pub fn host_port(&self) -> &str {
        &self.authority
    }
}

impl FromStr for ZmqEndpoint {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let text = text.trim();
        let invalid = |why: &'static str| ConfigError::ZmqEndpoint {
            endpoint: text.to_owned(),
            why,
        };
        let Some(authority) = text.strip_prefix("tcp://") else {
            return Err(invalid("only tcp://HOST:PORT is supported"));
        };
        if authority.starts_with('*') {
            return Err(invalid(
                "`*` is an address to listen on; name the host the node runs on, such as 127.0.0.1",
            ));
        }
        check_authority(authority).map_err(invalid)?;
        Ok(Self {
            authority: authority.to_owned(),
        })
    }
}

impl fmt::Display for ZmqEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp://{}", self.authority)
    }
}

impl fmt::Debug for ZmqEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `host:port` with a port that is written out and a host that is plausible.
fn check_authority(authority: &str) -> Result<(), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']').ok_or("`[` without `]`")?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("what stands in [] is no IPv6 address");
            }
            (host, rest.strip_prefix(':').ok_or("the port is missing")?)
        }
        None => authority.rsplit_once(':').ok_or("the port is missing")?,
    };
    if host.is_empty() {
        return Err("the host is missing");
    }
    if !authority.starts_with('[') && host.contains(':') {
        return Err("write an IPv6 address in brackets: [::1]:PORT");
    }
    if !authority.starts_with('[')
        && !host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    {
        return Err("the host contains characters that no host name has");
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(()),
        _ => Err("the port is not a number from 1 to 65535"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn rpc_addresses_are_checked() {
        for (good, normal) in [
            ("http://127.0.0.1:8332", "http://127.0.0.1:8332/"),
            (" http://node.lan:18443/ ", "http://node.lan:18443/"),
            ("http://[::1]:8332", "http://[::1]:8332/"),
            (
                "http://localhost:8332/wallet/w",
                "http://localhost:8332/wallet/w",
            ),
        ] {
            assert_eq!(good.parse::<RpcUrl>().unwrap().as_str(), normal);
        }
        for (bad, why) in [
            ("https://127.0.0.1:8332", "no TLS"),
            ("http://127.0.0.1", "port is missing"),
            ("http://[::1]", "port is missing"),
            ("http://::1:8332", "brackets"),
            ("http://[nonsense]:8332", "no IPv6"),
            ("http://:8332", "host is missing"),
            ("http://node:0", "1 to 65535"),
            ("http://node:70000", "1 to 65535"),
            ("http://node:8332/rpc", "path"),
            ("http://node:8332/?a=b", "query"),
            ("http://no de:8332", "white space"),
            ("http://nöde:8332", "host name"),
            ("ftp://node:8332", "only http://"),
            ("127.0.0.1:8332", "no scheme"),
            ("", "no scheme"),
        ] {
            let error = bad.parse::<RpcUrl>().unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn an_address_with_credentials_is_refused_without_repeating_them() {
        for bad in [
            "http://miner:hunter2@node:8332",
            "miner:hunter2@node:8332",
            "https://miner:hunter2@node:1/",
        ] {
            let error = bad.parse::<RpcUrl>().unwrap_err();
            assert_eq!(error, ConfigError::CredentialsInUrl);
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn zmq_endpoints_are_checked() {
        for good in [
            "tcp://127.0.0.1:28332",
            "tcp://[::1]:28332",
            "tcp://node.lan:1",
        ] {
            assert_eq!(good.parse::<ZmqEndpoint>().unwrap().to_string(), good);
        }
        for (bad, why) in [
            ("tcp://*:28332", "listen on"),
            ("ipc:///tmp/zmq", "only tcp://"),
            ("127.0.0.1:28332", "only tcp://"),
            ("tcp://127.0.0.1", "port is missing"),
            ("tcp://a/b:1", "host name"),
        ] {
            let error = bad.parse::<ZmqEndpoint>().unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let auth = Auth::UserPassword {
            user: "miner".to_owned(),
            password: "hunter2".into(),
        };
        let shown = format!("{auth:?} {auth:#?}");
        assert!(
            shown.contains("miner") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
