//! `[[node]]` tables to node settings: addresses, credentials, endpoints.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use node::{Auth, NodeConfig, ZmqEndpoint, ZmqEndpoints};

use super::error::{ConfigError, Layer};
use super::raw;

/// Checks every `[[node]]`.
///
/// # Errors
/// No node at all, a name used twice, an address that cannot be one, credentials that cannot be read.
pub fn nodes(tables: &[raw::Node], layer: &Layer) -> Result<Vec<NodeConfig>, ConfigError> {
    if tables.is_empty() {
        return Err(ConfigError::key(
            layer.clone(),
            "node",
            "no node is configured",
            "add a [[node]] table with name, rpc_url and cookie_file",
        ));
    }
    let mut nodes: Vec<NodeConfig> = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        let node = one(table, index, layer)?;
        if nodes.iter().any(|earlier| earlier.name == node.name) {
            return Err(ConfigError::key(
                layer.clone(),
                &format!("node[{index}].name"),
                format!("`{}` is used twice", node.name),
                "give every node a name of its own",
            ));
        }
        nodes.push(node);
    }
    Ok(nodes)
}

fn one(table: &raw::Node, index: usize, layer: &Layer) -> Result<NodeConfig, ConfigError> {
    let key = |name: &str| format!("node[{index}].{name}");
    let name = table
        .name
        .clone()
        .unwrap_or_else(|| format!("node{}", index + 1));
    let url = table.rpc_url.as_deref().ok_or_else(|| {
        ConfigError::key(
            layer.clone(),
            &key("rpc_url"),
            "missing",
            "give the node's RPC address, such as \"http://127.0.0.1:8332\"",
        )
    })?;
    let unusable = |name: &str, error: node::ConfigError| {
        ConfigError::key(
            layer.clone(),
            &key(name),
            error.to_string(),
            "correct the address",
        )
        .caused_by(error)
    };
    let url = url.parse().map_err(|error| unusable("rpc_url", error))?;
    let mut node = NodeConfig::new(name, url, auth(table, index, layer)?);
    let endpoint =
        |name: &str, value: Option<&String>| -> Result<Option<ZmqEndpoint>, ConfigError> {
            value
                .map(|text| text.parse().map_err(|error| unusable(name, error)))
                .transpose()
        };
    node.zmq = ZmqEndpoints {
        hashblock: endpoint("zmq_hashblock", table.zmq_hashblock.as_ref())?,
        rawblock: endpoint("zmq_rawblock", table.zmq_rawblock.as_ref())?,
        sequence: endpoint("zmq_sequence", table.zmq_sequence.as_ref())?,
    };
    Ok(node)
}

fn auth(table: &raw::Node, index: usize, layer: &Layer) -> Result<Auth, ConfigError> {
    let problem = |name: &str, problem: &str, remedy: &str| {
        ConfigError::key(
            layer.clone(),
            &format!("node[{index}].{name}"),
            problem,
            remedy,
        )
    };
    match (
        &table.cookie_file,
        &table.rpc_user,
        &table.rpc_password_file,
    ) {
        (Some(cookie), None, None) => {
            let path = PathBuf::from(cookie);
            readable_if_there(&path).map_err(|error| {
                problem(
                    "cookie_file",
                    &format!("cannot read {}: {error}", path.display()),
                    "let this user read it: bitcoind's -rpccookieperms=group and membership in its group",
                )
                .caused_by(error)
            })?;
            Ok(Auth::CookieFile(path))
        }
        (None, Some(user), Some(file)) => {
            let text = std::fs::read_to_string(file).map_err(|error| {
                problem(
                    "rpc_password_file",
                    &format!("cannot read {file}: {error}"),
                    "create it with the password as its only line, readable by this user alone",
                )
                .caused_by(error)
            })?;
            let password = text.trim_end_matches(['\r', '\n']);
            if password.is_empty() || password.contains('\n') {
                return Err(problem(
                    "rpc_password_file",
                    &format!("{file} does not hold exactly one line"),
                    "write the password as its only line",
                ));
            }
            Ok(Auth::UserPassword {
                user: user.clone(),
                password: password.into(),
            })
        }
        (None, None, None) => Err(problem(
            "cookie_file",
            "no credentials",
            "give cookie_file, or rpc_user and rpc_password_file",
        )),
        (None, Some(_), None) => Err(problem(
            "rpc_password_file",
            "missing beside rpc_user",
            "name the file that holds the password",
        )),
        (None, None, Some(_)) => Err(problem(
            "rpc_user",
            "missing beside rpc_password_file",
            "name the RPC user",
        )),
        (Some(_), _, _) => Err(problem(
            "cookie_file",
            "given together with a user or password",
            "keep either the cookie or the user with its password file",
        )),
    }
}

/// A cookie that is not there is no error: Bitcoin Core writes it when it starts. One that is there
/// and cannot be read never will be.
fn readable_if_there(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Ok(file) if file.metadata()?.is_dir() => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn table() -> raw::Node {
        raw::Node {
            name: Some("local".into()),
            rpc_url: Some("http://127.0.0.1:8332".into()),
            cookie_file: Some("/nonexistent/.cookie".into()),
            ..raw::Node::default()
        }
    }

    fn refused(tables: &[raw::Node]) -> String {
        nodes(tables, &Layer::Environment).unwrap_err().to_string()
    }

    #[test]
    fn a_cookie_that_is_not_there_yet_is_waited_for() {
        assert_eq!(nodes(&[table()], &Layer::Environment).unwrap().len(), 1);
    }

    #[test]
    fn a_cookie_that_cannot_be_read_is_an_error_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let message = refused(&[raw::Node {
            cookie_file: Some(dir.path().display().to_string()),
            ..table()
        }]);
        assert!(
            message.contains("node[0].cookie_file: cannot read"),
            "{message}"
        );
        assert!(message.contains("-rpccookieperms=group"), "{message}");
    }

    #[test]
    fn no_node_and_doubled_names_are_refused() {
        assert!(refused(&[]).contains("no node is configured"));
        assert!(refused(&[table(), table()]).contains("node[1].name: `local` is used twice"));
    }

    #[test]
    fn credentials_are_one_kind_and_complete() {
        let without = raw::Node {
            cookie_file: None,
            ..table()
        };
        assert!(refused(std::slice::from_ref(&without)).contains("no credentials"));
        let both = raw::Node {
            rpc_user: Some("u".into()),
            ..table()
        };
        assert!(refused(&[both]).contains("together with"));
        let half = raw::Node {
            rpc_user: Some("u".into()),
            ..without
        };
        assert!(refused(&[half]).contains("rpc_password_file"));
    }

    #[test]
    fn a_password_never_shows_in_the_settings() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "hunter2\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let table = raw::Node {
            cookie_file: None,
            rpc_user: Some("miner".into()),
            rpc_password_file: Some(file.display().to_string()),
            ..table()
        };
        let nodes = nodes(&[table], &Layer::Environment).unwrap();
        assert!(!format!("{nodes:?}").contains("hunter2"));
    }

    #[test]
    fn addresses_are_checked() {
        let credentials = raw::Node {
            rpc_url: Some("http://u:hunter2@127.0.0.1:8332".into()),
            ..table()
        };
        let message = refused(&[credentials]);
        assert!(
            message.contains("node[0].rpc_url") && !message.contains("hunter2"),
            "{message}"
        );
        let zmq = raw::Node {
            zmq_hashblock: Some("127.0.0.1:28332".into()),
            ..table()
        };
        assert!(refused(&[zmq]).contains("node[0].zmq_hashblock"));
    }
}
