#!/usr/bin/env bash
# Runs the tests of the hashing kernels and of the chain's rules under the address sanitizer: reads and writes out of
# bounds, use after free, leaks. Needs nightly Rust; takes ten minutes of CPU time, nearly all of it compiling.
set -euo pipefail

if [[ "${1:-}" == --help || "${1:-}" == -h ]]; then
  echo "usage: scripts/sanitize.sh [arguments of cargo test]"
  exit 0
fi

cd "$(dirname "$0")/.."
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
# The target is named so that build scripts and macros are not sanitized.
RUSTFLAGS=-Zsanitizer=address PROPTEST_CASES="${PROPTEST_CASES:-32}" \
  cargo +nightly test --target "$host" --target-dir target/sanitize \
  -p signalcore-pow -p signalcore-chain --lib --tests --locked "$@"
