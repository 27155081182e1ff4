#!/usr/bin/env bash
# Holds systemd/signalcore.service against systemd's own checks.
set -euo pipefail

if [[ "${1:-}" == --help || "${1:-}" == -h ]]; then
  cat <<'TXT'
usage: scripts/check-unit.sh

Fails if systemd would not load systemd/signalcore.service, or rates its exposure higher than 1.5
(0 is best, 10 worst). Needs systemd-analyze of systemd 250 or later; systemd need not run.
TXT
  exit 0
fi

cd "$(dirname "$0")/.."
unit=systemd/signalcore.service
# In tenths.
limit=15

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# The binary is not installed where this runs; everything else is verified as it stands.
sed 's|^ExecStart=[^ ]*|ExecStart=/bin/true|' "$unit" >"$dir/signalcore.service"
# A warning is a mistake too, and systemd-analyze succeeds all the same.
said=$(systemd-analyze verify "$dir/signalcore.service" 2>&1) || { echo "$said" >&2; exit 1; }
if grep -F signalcore.service <<<"$said" >&2; then exit 1; fi

systemd-analyze security --offline=true --no-pager --threshold="$limit" "$unit" >"$dir/rating" || {
  grep -v '✓' "$dir/rating" >&2 || true
  echo "the unit is more exposed than $((limit / 10)).$((limit % 10)) allows" >&2
  exit 1
}
grep 'Overall exposure' "$dir/rating"
