#!/usr/bin/env bash
# Breaks everything that can break around a running program, and checks that nothing was lost.
set -euo pipefail

usage() {
  cat <<'TXT'
usage: scripts/soak.sh [--seconds N] [--seed S] [--dir D] [--keep] [--binary FILE]

Runs a devnode and the program beside it, each in a process of its own, and for N seconds, at random:
kills, stops and starts the program and the node, freezes both, injects panics, hangs and exits into the
program's children, the advisor's included, breaks the connections for RPC and ZMQ between them, fills the disk of
data_dir and reloads the configuration. Then everything is healed, and it is checked that
  - every block found is in the node's chain, or stale for a cause that is named; none is open or invalid
  - every restart of a child, every advisor that was left out and every end of the process has a cause
  - memory and file descriptors are flat, within a life of the program and from life to life

  --seconds N    how long it is broken (default 120)
  --seed S       repeats the plan of an earlier run (default: random, and printed)
  --dir D        work in this directory, which must not exist or be empty (default: a temporary one)
  --keep         leave the directory also when nothing was wrong
  --binary FILE  test this binary (default: the release build, which is built first)

Ends with 0, with 1 and a list after violations (the directory is left for inspection), with 2 on wrong usage.
Needs python3 (3.11 or later). The disk is filled only where a tmpfs can be mounted: as root, or where user
namespaces are allowed; the mount is visible to the soak alone and gone with it.
TXT
}

seconds=120 seed=$RANDOM$RANDOM dir='' keep='' binary=''
while (($#)); do
  case $1 in
    --seconds) seconds=${2:?--seconds needs a number} && shift 2 ;;
    --seed) seed=${2:?--seed needs a value} && shift 2 ;;
    --dir) dir=${2:?--dir needs a directory} && shift 2 ;;
    --keep) keep=yes && shift ;;
    --binary) binary=$(realpath "${2:?--binary needs a file}") && shift 2 ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
  esac
done

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "the soak needs python3, 3.11 or later" >&2
  exit 2
fi
cd "$(dirname "$0")/.."
if [[ -z $binary ]]; then
  cargo build --release --locked
  binary=$(realpath "${CARGO_TARGET_DIR:-target}/release/signalcore")
fi
if [[ -z $dir ]]; then
  dir=$(mktemp -d "${TMPDIR:-/tmp}/signalcore-soak-XXXXXX")
fi
mkdir -p "$dir/disk"
dir=$(realpath "$dir")
if [[ $(ls -A "$dir") != disk || -n $(ls -A "$dir/disk") ]]; then
  echo "$dir is not empty; give another --dir" >&2
  exit 2
fi

# In a mount namespace of its own, so that the small disk disappears with the last process that uses it.
namespace=(unshare --mount)
((EUID == 0)) || namespace+=(--user --map-root-user)
small=()
if "${namespace[@]}" mount -t tmpfs -o size=1m tmpfs "$dir/disk" 2>/dev/null; then
  small=(--small)
else
  namespace=()
fi

echo "soak for $seconds s, seed $seed, in $dir"
export SOAK_DIR=$dir SOAK_SMALL=${small[*]}
status=0
"${namespace[@]}" bash -c '
  [[ -z $SOAK_SMALL ]] || mount -t tmpfs -o size=192m,mode=0750 tmpfs "$SOAK_DIR/disk"
  status=0
  python3 -B scripts/soak/world.py "$@" || status=$?
  # What is on the mount would be gone with it.
  [[ -z $SOAK_SMALL ]] || cp -r "$SOAK_DIR/disk/data" "$SOAK_DIR/data" || true
  exit $status
' soak --binary "$binary" --seconds "$seconds" --seed "$seed" --dir "$dir" --data "$dir/disk" "${small[@]}" || status=$?

[[ -d $dir/data ]] && rmdir "$dir/disk" && mkdir "$dir/disk" && mv "$dir/data" "$dir/disk/data"
if ((status == 0)) && [[ -z $keep ]]; then
  rm -rf "$dir"
else
  echo "everything is left in $dir"
fi
exit $status
