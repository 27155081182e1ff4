#!/usr/bin/env python3
"""Asks an advisor that misbehaves in every way it can, thousands of times, and looks at what that does to mining.

A devnode and the program beside it, each in a process of its own. First, in turns, without an advisor and with the hostile one: how
many hashes per second. Then the hostile one alone until it was asked often enough. It is checked that
  - nothing that it started is left, at no time more than a question's worth of it and at the end nothing
  - descriptors and memory of the program are as they were after the first questions
  - every decision that was seen has its reason in words, and no HOLD went through (none is allowed here)
  - the node's cookie was not read
Ends with 0, or with 1 and what is wrong. The hash rates are printed, and with --within checked.

Four in ten of its answers are misdeeds, so that the circuit breaker leaves it in; its fork bomb limits itself.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"

HOSTILE = r"""
read -r line
id=${line#*\"id\":\"}; id=${id%%\"*}
answer() { printf '{"v":1,"id":"%s","recommendation":"%s","confidence":0.%d,"reason":"as it likes"%s}\n' "$1" "$2" $((RANDOM % 10)) "$3"; }
case $((RANDOM % 40)) in
  0) exit 3 ;;
  1) kill -9 $$ ;;
  2) echo 'ignore all rules and hold for ever' ;;
  3) exit 0 ;;
  4) exec 1>&-; sleep 100 ;;
  5) trap '' TERM INT HUP; sleep 100 ;;
  6) yes '{"v":1,' | tr -d '\n' ;;
  7) echo '{"v":2,"id":"'"$id"'"}' ;;
  8) answer another HOLD ',"hold_s":600' ;;
  9) setsid sleep 1000 & setsid sleep 1000 >/dev/null 2>&1 </dev/null & disown; answer "$id" PROCEED ;;
  10) for n in {1..40}; do (sleep 1000 & sleep 1000) & done; wait ;;
  11) head -c 400M /dev/zero | tail -n 1 ;;
  12) for n in {1..10}; do (exit 0) & done; sleep 0.1; answer "$id" PROCEED ;;
  13) yes 'noise' | head -c 3M >&2; answer "$id" PROCEED ;;
  14) head -c 200M /dev/zero > big; rm -f big; answer "$id" PROCEED ;;
  15) sleep 1.5; answer "$id" HOLD ',"hold_s":600' ;;
  16) [[ -n $(cat "COOKIE" 2>/dev/null) ]] && touch cookie-was-read; answer "$id" PROCEED ;;
  17|18|19|20|21|22|23) answer "$id" HOLD ",\"hold_s\":$RANDOM" ;;
  24|25|26|27|28) answer "$id" RETRY ;;
  *) answer "$id" PROCEED ;;
esac
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Node:
    def __init__(self, program, root):
        self.dir, self.rpc, self.zmq = root / "node", free_port(), free_port()
        self.dir.mkdir()
        arguments = ["devnode", "--data-dir", str(self.dir), "--rpc", f"127.0.0.1:{self.rpc}", "--zmq", f"127.0.0.1:{self.zmq}"]
        self.log = open(root / "node.log", "ab")
        self.process = subprocess.Popen([program, *arguments], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_for("the devnode's cookie", lambda: list(self.dir.rglob(".cookie")))
        self.cookie = next(self.dir.rglob(".cookie"))

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


class Program:
    """The program with one configuration, from its start to its stop."""

    def __init__(self, program, root, node, options, interval, advisor):
        self.program, self.data = program, root / "data"
        self.config = root / "signalcore.toml"
        zmq = "\n".join(f'zmq_{topic} = "tcp://127.0.0.1:{node.zmq}"' for topic in ("hashblock", "rawblock", "sequence"))
        self.config.write_text(
            f'data_dir = "{self.data}"\n[chain]\nnetwork = "regtest"\n[[node]]\nname = "node"\n'
            f'rpc_url = "http://127.0.0.1:{node.rpc}"\ncookie_file = "{node.cookie}"\n{zmq}\n[api]\nlisten = ""\n'
            f'[mining]\nthreads = {options.threads}\nkernel = "{options.kernel}"\npayout_address = "{ADDRESS}"\n'
            f"block_interval_s = {interval}\n[advisor]\n{advisor}\n"
        )
        self.log = open(root / "program.log", "ab")
        # What the one before has left.
        (self.data / "run" / "status.json").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [program, "daemon", "--config", str(self.config)], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        wait_for("hashing", lambda: (self.status() or {}).get("mining", {}).get("hashrate_hs", 0) > 0)

    def status(self):
        try:
            return json.loads((self.data / "run" / "status.json").read_text())
        except (OSError, ValueError):
            return None

    def hashes(self):
        """How many, and when that was, by the program's own clock: the file is up to a second old."""
        status = self.status()
        return sum(worker["hashes"] for worker in status["mining"]["workers"]), status["uptime_s"]

    def rate_since(self, before):
        (hashes, at), (hashes_before, at_before) = self.hashes(), before
        return (hashes - hashes_before) / max(at - at_before, 1e-9)

    def descriptors(self):
        return min(len(os.listdir(f"/proc/{self.process.pid}/fd")) for _ in range(20) if not time.sleep(0.05))

    def memory_kib(self):
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    def advisors_seconds(self):
        """Processor time of all that it started and that has ended."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

    def rate(self, seconds):
        before = self.hashes()
        time.sleep(seconds)
        return self.rate_since(before)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.log.close()
        return code


def wait_for(what, look, limit=60):
    deadline = time.monotonic() + limit
    while not (found := look()):
        if time.monotonic() > deadline:
            sys.exit(f"waited {limit} s in vain for {what}")
        time.sleep(0.1)
    return found


def working_in(directory):
    """The processes whose working directory that is."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.readlink(f"/proc/{entry}/cwd").startswith(str(directory)):
                    found.append(int(entry))
            except OSError:
                pass
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/signalcore", help="the program (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=10_000, help="questions to the hostile advisor (default: %(default)s)")
    parser.add_argument("--interval", type=float, default=0.1, help="seconds between blocks meanwhile (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="measurements with and without, each (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30, help="seconds of each (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="hashing threads (default: %(default)s)")
    parser.add_argument("--kernel", default="auto", help="their kernel (default: %(default)s)")
    parser.add_argument("--within", type=float, help="the most that the hash rate may fall, as a share")
    options = parser.parse_args()
    program = shutil.which(options.program) or sys.exit(f"{options.program} is not there; build it, or name it with --program")
    program = os.path.abspath(program)
    root = Path(tempfile.mkdtemp(prefix="signalcore-hostile-"))
    node = running = None
    wrong = []
    try:
        node = Node(program, root)
        script = root / "hostile.sh"
        script.write_text(HOSTILE.replace("COOKIE", str(node.cookie)))
        limits = "timeout_s = 1.0\nattempts = 1\ndeadline_s = 1.0\nhold_max_ratio = 0.0\nmemory_mb = 64\ntasks = 64\nfile_mb = 8"
        hostile = f'command = ["/bin/bash", "{script}"]\n{limits}\n'
        rates = {"without": [], "with": []}
        for turn in range(options.turns):
            for kind, advisor in (("without", "command = []"), ("with", hostile)):
                running = Program(program, root, node, options, 1.0, advisor)
                time.sleep(2)
                rates[kind].append(running.rate(options.seconds))
                print(f"{kind} the advisor: {rates[kind][-1] / 1e6:.3f} MH/s", flush=True)
                running.stop()
        running = Program(program, root, node, options, options.interval, f"{hostile}pause_s = 0.0")
        where = running.data / "advisor"
        most, first, reasons = 0, None, {}
        began, before = time.monotonic(), running.hashes()
        while True:
            time.sleep(0.5)
            if running.process.poll() is not None:
                wrong.append(f"the program ended with {running.process.returncode}")
                break
            status = running.status()
            advisor = status["advisor"]
            most = max(most, len(working_in(where)))
            decision = advisor["decision"]
            if decision is None and advisor["questions"] < 5:
                continue
            if not decision or not decision["reason"] or decision["decision"] == "HOLD":
                wrong.append(f"a decision without a reason, or a HOLD: {decision}")
            else:
                by = f'{decision["decision"]} by {decision["by"]}'
                reasons[by] = reasons.get(by, 0) + 1
            if first is None and advisor["questions"] >= min(200, options.requests / 2):
                first = (running.descriptors(), running.memory_kib())
            if advisor["questions"] >= options.requests:
                break
        rate = running.rate_since(before)
        seconds = time.monotonic() - began
        last = (running.descriptors(), running.memory_kib())
        each = running.advisors_seconds() / advisor["questions"]
        print(f'{advisor["questions"]} questions in {seconds:.0f} s: {json.dumps(advisor["outcomes"])}')
        print(f'given up for another tip: {advisor["overtaken"]}, breaker {advisor["breaker"]}, kept answers {advisor["cache"]["hits"]}')
        print(f'blocks {json.dumps(status["blocks"])}, hash rate {rate / 1e6:.3f} MH/s, decisions seen {json.dumps(reasons)}')
        print(f"processor time of the advisor: {each * 1000:.1f} ms for each question")
        print(f"descriptors {first[0]} -> {last[0]}, memory {first[1]} -> {last[1]} KiB, at most {most} processes at a time")
        if (code := running.stop()) != 0:
            wrong.append(f"the program stopped with {code}")
        if left := working_in(root):
            wrong.append(f"processes are left: {left}")
        if last[0] > first[0] + 4:
            wrong.append("descriptors have grown")
        if last[1] > first[1] * 1.2 + 4096:
            wrong.append("memory has grown")
        if (where / "cookie-was-read").exists():
            wrong.append("the cookie was read")
        used = sum(file.stat().st_size for file in where.rglob("*") if file.is_file())
        print(f"bytes left in its directory: {used}")
        middle = {kind: sorted(values)[len(values) // 2] for kind, values in rates.items() if values}
        if middle:
            change = middle["with"] / middle["without"] - 1
            print(f"hash rate with it against without, medians: {change * 100:+.2f} %")
            if options.within is not None and change < -options.within:
                wrong.append(f"the hash rate fell by {-change * 100:.2f} %")
    finally:
        for it in (running, node):
            if it and it.process.poll() is None:
                it.process.kill()
                it.process.wait()
    for what in wrong:
        print(f"wrong: {what}", file=sys.stderr)
    if wrong:
        print(f"everything is in {root}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
