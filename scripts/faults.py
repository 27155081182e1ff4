#!/usr/bin/env python3
"""What faults of a node do to mining: one after the other, and for each what the operator sees, how long until blocks are found and
accepted again, and that none was lost.

For each fault a devnode and the program beside it, each in a process of its own. The fault begins some seconds after the node, and
ends. Measured by the clock of this script:
  - how many blocks were accepted while it lasted
  - from its end to the next block found and accepted (the interval between blocks, half a second, included)
  - the first line of warning or error that the program wrote because of it
In the end every block that was found must be in the node's chain, or have lost a race against another one.
Prints a table in Markdown. Ends with 0, or with 1 where a block was lost or mining did not go on.
"""

import argparse
import concurrent.futures
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "soak"))
from parts import free_port  # noqa: E402

ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
# Seconds after the node's start at which a fault begins, how long it lasts, and how long its end may take to be felt.
BEGIN, LASTS, PATIENCE = 6, 4, 60


def rpc(method, fault):
    return f'[[rpc]]\nmethod = "{method}"\nwhen = {{ after_s = {BEGIN}, for_s = {LASTS} }}\n{fault}\n'


def zmq(fault):
    return f'[[zmq]]\ntopic = "*"\nwhen = {{ after_s = {BEGIN}, for_s = {LASTS} }}\nfault = {fault}\n'


def event(fault):
    return f"[[event]]\nat_s = {BEGIN}\nfault = {fault}\n"


FAULTS = {
    "ZMQ: silence": zmq('"silence"'),
    "ZMQ: gaps": zmq('"gap"'),
    "ZMQ: counters begin anew": zmq('"reset"'),
    "ZMQ: every message eleven times": zmq("{ duplicate = 10 }"),
    "ZMQ: half bodies": zmq('{ garbage = "half_body" }'),
    "ZMQ: two parts": zmq('{ garbage = "two_parts" }'),
    "ZMQ: a second late": zmq("{ delay_s = 1 }"),
    "ZMQ: publisher gone": event(f'{{ zmq_restart = {{ down_s = {LASTS}, meanwhile = "closed" }} }}'),
    "ZMQ: accepts, never greets": event(f'{{ zmq_restart = {{ down_s = {LASTS}, meanwhile = "mute" }} }}'),
    "ZMQ: bad greeting": event(f'{{ zmq_restart = {{ down_s = {LASTS}, meanwhile = "garbage" }} }}'),
    "RPC: each call takes 1 s longer": rpc("*", "delay_s = 1"),
    "RPC: 503, queue full": rpc("*", "fault = { status = 503 }"),
    "RPC: 401": rpc("*", "fault = { status = 401 }"),
    "RPC: -28": rpc("*", 'fault = { error = { code = -28, message = "Loading block index" } }'),
    "RPC: connection cut, not read": rpc("*", 'fault = { drop = "unread" }'),
    "RPC: connection cut after reading": rpc("*", 'fault = { drop = "read" }'),
    "RPC: half a body": rpc("*", 'fault = { half = "body" }'),
    "RPC: no HTTP": rpc("*", 'fault = { garbage = "not_http" }'),
    "RPC: HTML": rpc("*", 'fault = { garbage = "not_json" }'),
    "getblocktemplate: -10": rpc("getblocktemplate", 'fault = { error = { code = -10, message = "In initial sync" } }'),
    "submitblock: taken, answer lost": rpc("submitblock", 'carried_out = true\nfault = { drop = "read" }'),
    "submitblock: inconclusive, not taken in": rpc("submitblock", 'fault = { result = \'"inconclusive"\' }'),
    "Node: killed and started again": event(f"{{ restart = {{ down_s = {LASTS}, warm_up_s = 1 }} }}"),
    "Node: frozen": event(f"{{ freeze_s = {LASTS} }}"),
    "Chain: two blocks replaced by three": event("{ reorg = 2 }"),
    "Chain: three blocks invalid for a while": event(f"{{ invalidate = {{ blocks = 3, for_s = {LASTS} }} }}"),
}


class Pair:
    """A node with a fault, and the program beside it."""

    def __init__(self, program, root, fault):
        self.program, self.root = program, root
        rpc_port, zmq_port = free_port(), free_port()
        (root / "faults.toml").write_text(fault)
        self.config = root / "signalcore.toml"
        cookie = root / "node" / "regtest" / ".cookie"
        topics = "".join(f'zmq_{topic} = "tcp://127.0.0.1:{zmq_port}"\n' for topic in ("hashblock", "rawblock", "sequence"))
        self.config.write_text(
            f'data_dir = "{root / "data"}"\n[chain]\nnetwork = "regtest"\n[[node]]\nname = "node"\n'
            f'rpc_url = "http://127.0.0.1:{rpc_port}"\ncookie_file = "{cookie}"\n{topics}[api]\nlisten = ""\n'
            f'[mining]\nthreads = 1\npayout_address = "{ADDRESS}"\nblock_interval_s = 0.5\npace = "sleep"\n'
        )
        node = [program, "devnode", "--data-dir", root / "node", "--rpc", f"127.0.0.1:{rpc_port}",
                "--zmq", f"127.0.0.1:{zmq_port}", "--generate", "20", "--fault", root / "faults.toml"]  # fmt: skip
        self.began = time.time()
        self.node = self.start(node, "node.log")
        self.miner = self.start([program, "run", "-v", "--color", "never", "--config", self.config], "miner.log")

    def start(self, command, log):
        with open(self.root / log, "wb") as file:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def lines(self):
        """Seconds since 1970, level and message of every line that the program wrote so far."""
        day = int(self.began // 86_400) * 86_400
        for line in (self.root / "miner.log").read_text(errors="replace").splitlines():
            if found := re.match(r"(?:\S+T)?(\d\d):(\d\d):(\d\d\.\d+)Z +(\w+) (?:\w+: )?(.*)", line):
                at = day + int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
                yield (at if at >= self.began - 1 else at + 86_400), found[4], found[5]

    def accepted(self):
        return [at for at, _, message in self.lines() if message.startswith("block accepted")]

    def found(self):
        """What the journal says became of each block."""
        listed = subprocess.run([self.program, "journal", "list", "--json", "--config", self.config], capture_output=True, check=True)
        return json.loads(listed.stdout)

    def stop(self):
        self.miner.send_signal(signal.SIGTERM)
        self.miner.wait(60)
        self.node.terminate()
        self.node.wait(60)


def watch(program, name, fault):
    """One row of the table, and whether all is well."""
    root = Path(tempfile.mkdtemp(prefix="signalcore-faults-"))
    pair = Pair(program, root, fault)
    begin, end = pair.began + BEGIN, pair.began + BEGIN + LASTS
    if "reorg" in fault:
        end = begin
    try:
        while not (after := [at for at in pair.accepted() if at > end]) and time.time() < end + PATIENCE:
            time.sleep(0.1)
        # What was found meanwhile is settled.
        time.sleep(3)
    finally:
        pair.stop()
    meanwhile = [at for at in pair.accepted() if begin <= at <= end]
    seen = [message for at, level, message in pair.lines() if at >= begin and level in ("WARN", "ERROR")]
    blocks = pair.found()
    lost = [block for block in blocks if block["state"] not in ("accepted", "stale")]
    ok = bool(after) and not lost
    if ok:
        shutil.rmtree(root)
    recovered = f"{after[0] - end:.1f} s" if after else "never"
    shown = re.split(r"; | \w+=", seen[0].replace("|", "/"))[0] if seen else "nothing"
    row = f"| {name} | {len(meanwhile)} | {recovered} | {len(blocks)}, {len(lost)} | {shown} |"
    return row + ("" if ok else f" (see {root})"), ok


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--program", default="target/release/signalcore", help="the program (default: %(default)s)")
    options.add_argument("--at-once", type=int, default=4, help="faults tried at the same time (default: %(default)s)")
    options = options.parse_args()
    print(f"| fault, for {LASTS} s | blocks accepted meanwhile | until the next one, after it | found, lost | first warning |")
    print("|---|---|---|---|---|")
    with concurrent.futures.ThreadPoolExecutor(options.at_once) as pool:
        results = [pool.submit(watch, options.program, *fault) for fault in FAULTS.items()]
        well = [print(row, flush=True) or ok for row, ok in (result.result() for result in results)]
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
