//! Proxies from the environment: never used, a node is spoken to directly.

use std::process::Command;

use crate::http_server::Server;
use crate::rpc;

const INNER: &str = "SIGNALCORE_TEST_PROXY_TARGET";

#[test]
fn proxies_in_the_environment_are_ignored() {
    // The environment of a process is set where it begins: so this test runs itself.
    if let Some(target) = std::env::var_os(INNER) {
        assert_eq!(rpc(target.to_str().unwrap()).get_block_count().unwrap(), 5);
        return;
    }
    let server = Server::answering(200, r#"{"result":5,"error":null,"id":$ID}"#);
    let proxy = Server::answering(502, "the proxy");
    let mut inner = Command::new(std::env::current_exe().unwrap());
    inner
        .args(["--exact", "proxies::proxies_in_the_environment_are_ignored"])
        .env(INNER, &server.url);
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
        "HTTPS_PROXY",
        "https_proxy",
    ] {
        inner.env(name, &proxy.url);
    }
    let output = inner.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert_eq!(server.requests().len(), 1);
    assert_eq!(proxy.connections(), 0);
}
