#!/usr/bin/env bash
# Everything that CI checks, in the order that fails fastest.
set -euo pipefail

if [[ "${1:-}" == --help || "${1:-}" == -h ]]; then
  cat <<'TXT'
usage: scripts/check.sh

Formatting, lints, documentation, dependency policy, the README's demo, every test, and two minutes of soak.

Needs Rust and a C compiler. Used when present:
  python3         runs the soak (3.11 or later), and the adapter for language models in its tests
  cargo-nextest   runs the tests in parallel; without it plain `cargo test` does
  cargo-deny      checks licenses, sources and duplicate crates
  cmake, g++, boost headers   build Bitcoin Core's consensus code for kernel-check
  rustup's aarch64-unknown-linux-gnu   compiles the ARM kernels, and runs their tests where
                  qemu-aarch64 and aarch64-linux-gnu-gcc are there as well
  g++             lints the fuzz targets
  valgrind        counts the instructions of the hot paths against scripts/instructions.txt
  systemd-analyze (systemd 250 or later)   holds the unit against what it allows
  SIGNALCORE_TESTDATA         a directory with real chain data, for the tests that read it
  BITCOIND_EXE                a Bitcoin Core daemon, for tests/bitcoin_core.rs
TXT
  exit 0
fi

cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"

step() { printf '\n== %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }

packages=()
if have cmake && have g++ && { [[ -e /usr/include/boost/version.hpp ]] || [[ -e /usr/local/include/boost/version.hpp ]]; }; then
  packages=(--workspace)
else
  echo "kernel-check left out: it needs cmake, g++ and boost headers"
fi

step "format"
cargo fmt --all --check

step "dependency policy"
if have cargo-deny; then
  cargo deny --log-level error check bans licenses sources
else
  echo "left out: cargo-deny is not installed"
fi

step "the systemd unit"
if have systemd-analyze; then
  scripts/check-unit.sh
else
  echo "left out: systemd-analyze is not installed"
fi

step "lints"
cargo clippy "${packages[@]}" --all-targets --locked -- -D warnings

step "fuzz targets"
cargo fmt --manifest-path fuzz/Cargo.toml --check
if have g++; then
  # As cargo-fuzz does: what is for fuzz targets alone is there only then.
  RUSTFLAGS="--cfg fuzzing" cargo clippy --manifest-path fuzz/Cargo.toml --target-dir target --locked -- -D warnings
else
  echo "left out: libFuzzer needs g++"
fi

step "64-bit ARM"
arm=aarch64-unknown-linux-gnu
if ! rustup target list --installed 2>/dev/null | grep -qx "$arm"; then
  echo "left out: rustup has no target $arm"
elif have qemu-aarch64 && have aarch64-linux-gnu-gcc; then
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu" \
    cargo test --target "$arm" -p signalcore-pow --lib --tests --locked
else
  cargo check --target "$arm" -p signalcore-pow --locked
fi

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked --quiet

step "the README's first command"
cargo build --release --locked
cargo run --release --locked -- run --demo --blocks 3 --json | tee target/demo.json
python3 - target/demo.json <<'PY'
import json, sys
last = json.loads(open(sys.argv[1]).read().splitlines()[-1])
assert last["blocks_accepted"] >= 3 and last["blocks_rejected"] == 0, last
assert last["hashrate_hs"] > 0 and last["tip"]["height"] >= 3, last
PY

step "instructions of the hot paths"
scripts/instructions.sh

step "soak, two minutes of it"
if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  # One plan, so that what fails here fails by the change and not by the dice.
  scripts/soak.sh --seconds 120 --seed 7
else
  echo "left out: it needs python3, 3.11 or later"
fi

step "documentation tests"
cargo test --doc --locked --quiet

step "tests"
if have cargo-nextest; then
  cargo nextest run "${packages[@]}" --locked --no-fail-fast
else
  cargo test "${packages[@]}" --locked --all-targets
fi
