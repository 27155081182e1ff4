"""The soak: a node, the program, and everything that can go wrong between them. Started by ../soak.sh."""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import records
import verdict
from chaos import Chaos, Disk, Ledger
from parts import Node, Program
from proxy import Proxy

# Blocks on the chain before the program begins: coins for the transactions in its blocks are mature.
MATURE = 160
SAMPLE_S = 2.0
# How long the healed world may take to settle. A machine that is not loaded needs some seconds.
SETTLE_S = 180
CONFIG = """\
data_dir = "{data}"
profile = "development"
[chain]
network = "regtest"
[[node]]
name = "devnode"
rpc_url = "http://127.0.0.1:{rpc}"
cookie_file = "{cookie}"
zmq_hashblock = "tcp://127.0.0.1:{zmq}"
zmq_rawblock = "tcp://127.0.0.1:{zmq}"
zmq_sequence = "tcp://127.0.0.1:{zmq}"
[mining]
payout_address = "{address}"
threads = 1
block_interval_s = {interval}
[log]
max_size_mb = 10000
[api]
listen = ""
[resources]
disk_free_min_mb = 16
[debug]
fault_injection = true
"""


class World:
    """Everything there is, set up and whole."""

    def __init__(self, options):
        self.directory = options.dir
        self.binary = options.binary
        self.ledger = Ledger(options.dir / "mischief.jsonl")
        self.disk = Disk(options.data, small=options.small)
        self.chaos = Chaos(self, options.seed)
        rng = self.chaos.rng("proxies")
        self.node = Node(options.binary, options.dir, MATURE)
        self.rpc = Proxy("rpc", self.node.rpc_port, rng)
        self.zmq = Proxy("zmq", self.node.zmq_port, rng)
        self.config = options.dir / "signalcore.toml"
        data = options.data / "data"
        self.is_daemon = knows(options.binary, "daemon")
        command = "daemon" if self.is_daemon else "run"
        self.program = Program(options.binary, self.config, options.dir, data / "run" / "control.sock", command)
        self.data = data
        self.children = []
        self.can_inject = knows(options.binary, "ops", "fault")
        self.has_health = knows(options.binary, "health-check")
        self.interval = 1.0

    async def build(self):
        """Starts the node, then the program once, to learn what children it has."""
        await self.node.start()
        await self.rpc.start()
        await self.zmq.start()
        self.configure()
        await self.program.start()
        await self.until("it mines", 60, self.mined)
        # Whoever asks while the tree still starts is told of no children yet.
        self.children = await self.until("it names its children", 60, self.named_children)
        self.program.ask(signal.SIGTERM, "SIGTERM")
        await asyncio.wait_for(self.program.over, 60)

    def configure(self):
        """Writes the program's configuration."""
        self.config.write_text(
            CONFIG.format(
                data=self.data, rpc=self.rpc.port, zmq=self.zmq.port, cookie=self.node.cookie,
                address=self.node.address, interval=self.interval,
            )
        )  # fmt: skip

    def change_configuration(self, rng):
        """Writes another configuration for a reload, one time in four one that must be refused; what it is."""
        if rng.random() < 0.25:
            self.configure()
            self.config.write_text(self.config.read_text() + "[mining.typo]\n")
            return "of a configuration that is wrong"
        self.interval = rng.choice([0.5, 1.0, 1.5])
        self.configure()
        return f"with block_interval_s = {self.interval}"

    async def named_children(self):
        """The ids of the program's children."""
        status = await self.program.status()
        return [child["id"] for child in status["children"]] if status else []

    async def mined(self):
        """Whether the program has got a block accepted in this life."""
        status = await self.program.status()
        return bool(status) and status["blocks"]["accepted"] >= 1

    async def until(self, what, patience, look):
        """Waits until `look` finds something."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if found := await look():
                return found
            await asyncio.sleep(0.2)
        raise TimeoutError(f"waited {patience} s in vain until {what}")

    async def watch(self):
        """Samples memory and descriptors of whatever life there is, for ever."""
        while True:
            if self.program.running():
                await self.program.sample()
            await asyncio.sleep(SAMPLE_S)

    async def heal(self):
        """Everything works again."""
        self.disk.free()
        self.rpc.set("pass")
        self.zmq.set("pass")
        self.rpc.drop()
        self.zmq.drop()
        self.interval = 1.0
        self.configure()
        await self.node.end(signal.SIGTERM)
        await self.node.start()
        self.program.send(signal.SIGCONT)

    async def settle(self):
        """Lets a life that nobody disturbs find its way back, deliver what is open, and stop."""
        wrong = []
        if not self.program.running():
            await self.program.start()
            self.ledger.note("program", "start", "the last life", life=self.program.life.number)
        try:
            await self.until("it answers", SETTLE_S, self.program.status)
            if self.is_daemon:
                # An advisor that was left out is asked again.
                self.ledger.note("signals", "reload", "of the healed configuration", life=self.program.life.number)
                self.program.send(signal.SIGHUP)
            await self.until("it mines on the healed node", SETTLE_S, self.works)
            # The reload may be under way yet: nobody answers then.
            before = (await self.until("it answers", SETTLE_S, self.program.status))["blocks"]["accepted"]
            await self.until("it mines on", SETTLE_S, lambda: self.mined_since(before))
            await self.until("every older block is settled", SETTLE_S, self.nothing_old_is_open)
            if self.has_health:
                await self.until("the health check is content", SETTLE_S, self.is_healthy)
        except TimeoutError as error:
            health = await self.program.command("health-check") if self.has_health else ""
            wrong.append(f"{error}: {json.dumps(await self.program.status())} {health}")
        self.program.ask(signal.SIGTERM, "SIGTERM")
        if not await self.program.ended(60):
            wrong.append("the last life did not end within 60 s of SIGTERM")
            self.program.ask(signal.SIGKILL, "kill -9")
            await self.program.over
        return wrong

    async def works(self):
        """Whether the tip is the node's and every child is up."""
        status = await self.program.status()
        return (
            bool(status)
            and status["tip"] is not None
            and status["tip"]["height"] + 2 >= await asyncio.to_thread(self.node.call, "getblockcount")
            and all(child["state"] in ("up", "running") for child in status["children"])
        )

    async def mined_since(self, before):
        """Whether three blocks more were accepted."""
        status = await self.program.status()
        return bool(status) and status["blocks"]["accepted"] >= before + 3

    async def nothing_old_is_open(self):
        """Whether all blocks but the newest three are settled."""
        journal = await self.journal()
        newest = max((entry["height"] for entry in journal), default=0)
        return all(entry["state"] in verdict.SETTLED for entry in journal if entry["height"] < newest - 3)

    async def is_healthy(self):
        """Whether `health-check` finds nothing wrong but that there were restarts."""
        _, out, _ = await self.program.command("health-check", "--json")
        components = json.loads(out)["components"] if out else {}
        wrong = {name for name, component in components.items() if component["status"] != "OK"}
        return bool(components) and wrong <= {"recovery"}

    async def journal(self):
        """The journal, as the program reads it."""
        code, out, err = await self.program.command("journal", "list", "--json", patience=60)
        if code != 0:
            raise RuntimeError(f"cannot read the journal ({code}): {err}")
        return json.loads(out)

    async def close(self):
        """Ends every process that was started."""
        if self.program.running():
            self.program.ask(signal.SIGKILL, "kill -9")
            await self.program.over
        await self.node.end(signal.SIGKILL)
        self.rpc.stop()
        self.zmq.stop()


def knows(binary, *command):
    """Whether the binary has a command."""
    return subprocess.run([binary, *command, "--help"], capture_output=True).returncode == 0


async def soak(options):
    """Builds the world, breaks it for the time asked for, heals it and judges. The violations."""
    world = World(options)
    ledger = world.ledger
    if not options.small:
        print("the disk is not filled: no small file system could be mounted", flush=True)
    if not world.can_inject:
        print("no faults are injected: this binary has no `ops fault`", flush=True)
    wrong = []
    began = time.monotonic()
    watch = None
    try:
        await world.build()
        watch = asyncio.create_task(world.watch())
        ended = asyncio.Event()
        for how in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(how, ended.set)
        chaos = asyncio.create_task(world.chaos.run())
        stop = asyncio.create_task(ended.wait())
        left = max(1, options.seconds - (time.monotonic() - began))
        await asyncio.wait([chaos, stop], timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if chaos.done():
            wrong.append(f"the soak itself failed: {chaos.exception()!r} {getattr(chaos.exception(), 'exceptions', '')}")
        chaos.cancel()
        stop.cancel()
        await asyncio.gather(chaos, stop, return_exceptions=True)
        ledger.note("world", "heal")
        await world.heal()
        wrong += await world.settle()
        watch.cancel()
        journal = await world.journal()
        chain = await asyncio.to_thread(world.node.chain, MATURE)
    finally:
        if watch:
            watch.cancel()
        ledger.save()
        await world.close()
    return wrong + judge(world, journal, chain, time.monotonic() - began)


def judge(world, journal, chain, elapsed):
    """Prints what happened and returns what should not have."""
    lives, ledger = world.program.lives, world.ledger
    exits = [one for life in lives for one in records.exits(life)]
    block_facts, wrong = verdict.blocks(journal, chain, lives, ledger)
    life_facts, more = verdict.ends(lives, exits)
    wrong += more
    restart_facts, more = verdict.restarts(lives, exits, ledger)
    wrong += more
    footprint_facts, more = verdict.footprint(lives)
    wrong += more
    mischief = {}
    for entry in ledger.entries:
        if entry.lane not in ("program", "world"):
            mischief[f"{entry.lane} {entry.what}"] = mischief.get(f"{entry.lane} {entry.what}", 0) + 1
    service_facts, more = verdict.service(lives, ledger)
    wrong += more
    stops = [life.ended - life.asked_at for life in lives if life.asked == "SIGTERM" and life.code == 0]
    table("the world", {"seconds": f"{elapsed:.0f}", "lives of the program": len(lives), **dict(sorted(mischief.items()))})
    table("blocks", {**block_facts, "in the node's chain": len(chain)})
    table("ends of lives", {**life_facts, **service_facts})
    table("restarted children", dict(sorted(restart_facts.items())))
    if stops:
        footprint_facts["SIGTERM to exit, median and longest"] = f"{sorted(stops)[len(stops) // 2]:.2f} s and {max(stops):.2f} s"
    table("footprint", footprint_facts)
    return wrong


def table(title, facts):
    """Two columns."""
    print(f"\n{title}")
    for name, value in facts.items():
        print(f"  {name:<52} {value:>16}")


def main():
    """Parses, soaks, says what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--small", action="store_true", help="--data is a small mount that may be filled")
    options = parser.parse_args()
    wrong = asyncio.run(soak(options))
    if wrong:
        print(f"\n{len(wrong)} violations")
        for one in wrong:
            print(f"  {one}")
        sys.exit(1)
    print("\nno violation")


if __name__ == "__main__":
    main()
