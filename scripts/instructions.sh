#!/usr/bin/env bash
# How many instructions the program's hot paths take, against what is on record.
set -euo pipefail

if [[ "${1:-}" == --help || "${1:-}" == -h ]]; then
  cat <<'TXT'
usage: scripts/instructions.sh [--renew]

Counts the instructions of scanning, header verification and block checks under valgrind, and
fails where one takes more than 5 % above scripts/instructions.txt. Counts do not depend on the machine's
load; they do on the compiler and on the instructions that valgrind knows, so nothing is compared under another
rustc than the record's, or where a kernel of the record does not run.

  --renew   writes the record anew: do it with the change that makes a difference, and say why there

Needs valgrind and Rust.
TXT
  exit 0
fi

cd "$(dirname "$0")/.."
record=scripts/instructions.txt
tolerance_percent=5

if ! command -v valgrind >/dev/null; then
  echo "left out: valgrind is not installed"
  exit 0
fi

toolchain="$(rustc --version), $(uname -m)"
recorded=$(sed -n 's/^# With //p' "$record" 2>/dev/null || true)
if [[ "${1:-}" != --renew && "$toolchain" != "$recorded" ]]; then
  echo "left out: $record was taken with $recorded, this is $toolchain"
  echo "renew it with scripts/instructions.sh --renew"
  exit 0
fi

bench=$(cargo bench --no-run --locked -p signalcore-chain --bench instructions 2>&1 | tee >(cat >&2) |
  sed -n 's/.*Executable.*(\(.*\))$/\1/p')

# The instructions of one run.
count() {
  valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null "$bench" "$@" 2>&1 >/dev/null |
    sed -n 's/.*I *refs: *//p' | tr -d ,
}

cases=$(valgrind --tool=none --quiet "$bench")
if [[ "${1:-}" != --renew ]]; then
  for name in $(sed '/^#/d; s/ .*//' "$record"); do
    if ! grep -q "^$name " <<<"$cases"; then
      echo "left out: $name of $record does not run here under $(valgrind --version)"
      exit 0
    fi
  done
fi

worse=0
lines=()
printf '%-24s %14s %14s %8s %14s\n' "" instructions "on record" "" ""
while read -r name units unit; do
  # Once to begin with: what is done at the first time only drops out.
  once=$(count "$name" 1)
  twice=$(count "$name" 2)
  now=$((twice - once))
  lines+=("$name $now")
  before=$(sed -n "s/^$name //p" "$record" 2>/dev/null || true)
  note="not on record"
  if [[ -n $before ]]; then
    note=$(awk -v now="$now" -v before="$before" 'BEGIN { printf "%+.1f %%", 100 * (now - before) / before }')
    if ((now * 100 > before * (100 + tolerance_percent))); then
      note+=" WORSE"
      worse=1
    fi
  fi
  each=$(awk -v now="$now" -v units="$units" 'BEGIN { printf "%.1f", now / units }')
  printf '%-24s %14s %14s %8s   %s per %s\n' "$name" "$now" "${before:-}" "$note" "$each" "$unit"
done <<<"$cases"

if [[ "${1:-}" == --renew ]]; then
  {
    echo "# Instructions of each piece of work in crates/chain/benches/instructions.rs, one time."
    echo "# With $toolchain"
    printf '%s\n' "${lines[@]}"
  } >"$record"
  echo "wrote $record"
elif ((worse)); then
  echo "more instructions than on record: find out why, or renew the record with scripts/instructions.sh --renew"
  exit 1
fi
