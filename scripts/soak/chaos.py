"""What goes wrong, and when: one lane for each part of the world, each with a dice of its own.

A lane deals its mischief from a shuffled deck, so that every kind comes up before one repeats, and rests
for a random while after each. The dice depend on nothing but the seed; what the world makes of them
does not, so the same seed repeats the plan and not the run.
"""

import asyncio
import json
import os
import random
import signal
import time
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

# Seconds of rest between two mischiefs of a lane, on average.
REST = {"children": 6.0, "node": 16.0, "zmq": 11.0, "rpc": 13.0, "disk": 40.0, "signals": 25.0}
# At most this many injected hangs at a time: the program gives up past three, and that is tried by itself.
HANGS = 2


@dataclass
class Mischief:
    """One thing that was done to the world. Times are seconds since 1970."""

    at: float
    lane: str
    what: str
    detail: str = ""
    life: int = 0
    until: float | None = None
    # Whether the program said that it was done; None where it has no say.
    done: bool | None = None
    said: str = ""


class Ledger:
    """Everything that was done, in order; also written to a file as it happens."""

    def __init__(self, path):
        self.entries = []
        self.began = time.time()
        self._path = path

    def note(self, lane, what, detail="", quiet=False, **more):
        """Adds an entry and says it."""
        entry = Mischief(time.time(), lane, what, detail, **more)
        self.entries.append(entry)
        if not quiet:
            print(f"{entry.at - self.began:8.1f} s  {lane:9} {what} {detail}".rstrip(), flush=True)
        return entry

    @asynccontextmanager
    async def lasting(self, lane, what, detail=""):
        """An entry for something that is undone again."""
        entry = self.note(lane, what, detail)
        try:
            yield entry
        finally:
            entry.until = time.time()

    def save(self):
        """Writes the ledger, one entry to a line."""
        with open(self._path, "w") as file:
            for entry in self.entries:
                file.write(json.dumps(asdict(entry)) + "\n")


class Deck:
    """Deals each of its cards once before any comes again."""

    def __init__(self, rng, cards):
        self._rng, self._cards, self._left = rng, list(cards), []

    def deal(self):
        """The next card."""
        if not self._left:
            self._left = self._rng.sample(self._cards, len(self._cards))
        return self._left.pop()


class Chaos:
    """The lanes. Cancelling `run` leaves the world as broken as it is: healing is the caller's."""

    def __init__(self, world, seed):
        self.world = world
        self.ledger = world.ledger
        self._seed = seed
        # A full disk and the end of the process exclude each other: what only memory holds would be lost,
        # and nobody promises anything else.
        self._disk_or_end = asyncio.Lock()
        # Nobody starts with a configuration that is wrong on purpose.
        self._configuration = asyncio.Lock()

    def rng(self, lane):
        """A lane's own dice."""
        return random.Random(f"{self._seed}/{lane}")

    async def run(self):
        """Everything at once, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.lives())
            for lane, deal in (
                ("node", self.node), ("zmq", self.zmq), ("rpc", self.rpc), ("disk", self.disk),
                ("children", self.children), ("signals", self.signals),
            ):  # fmt: skip
                group.create_task(self._lane(lane, deal))

    async def _lane(self, lane, deal):
        rng = self.rng(lane)
        play = deal(rng)
        if play is None:
            return
        while True:
            await asyncio.sleep(min(rng.expovariate(1 / REST[lane]), 4 * REST[lane]))
            await play()

    async def lives(self):
        """Ends the program at random moments, and starts it again whenever it has ended."""
        rng = self.rng("lives")
        program = self.world.program
        lengths = Deck(rng, [(0.0, 1.5), (1.5, 10), (10, 40), (10, 40), (40, 90), (90, 240)])
        ends = Deck(rng, ["kill -9", "kill -9", "kill -9", "SIGTERM", "SIGTERM"])
        while True:
            length, end = rng.uniform(*lengths.deal()), ends.deal()
            faults = self._faults_at_start(rng) if self.world.can_inject and rng.random() < 0.3 else None
            async with self._configuration:
                await program.start(faults)
            self.ledger.note("program", "start", faults or "", life=program.life.number)
            if not await program.ended(length):
                async with self._disk_or_end:
                    self.ledger.note("program", end, life=program.life.number)
                    program.ask(signal.SIGKILL if end == "kill -9" else signal.SIGTERM, end)
                    if not await program.ended(60):
                        self.ledger.note("program", "SIGABRT", "as nothing else ends it", life=program.life.number)
                        program.send(signal.SIGABRT)
            await program.over
            if program.life.asked is None:
                self.ledger.note("program", f"ended by itself with {program.life.code}", life=program.life.number)
            await asyncio.sleep(rng.uniform(0, 1.5))

    def _faults_at_start(self, rng):
        children = rng.sample(self.world.children, rng.randint(1, 2))
        return ",".join(
            f"{child}:{rng.choice(['panic', 'exit', 'hang'])}@{rng.uniform(0, 8):.1f}" for child in children
        )

    def children(self, rng):
        """Breaks children of the tree through `ops fault`."""
        world, program = self.world, self.world.program
        if not world.can_inject:
            return None
        kinds = Deck(rng, ["panic"] * 8 + ["exit"] * 6 + ["hang"] * 5 + ["storm", "storm below"])
        below = [child for child in world.children if "/" in child]
        # Who supervises children of its own has nothing else to do, and nobody notices when it hangs.
        branches = {child.split("/")[0] for child in below}
        targets = Deck(rng, world.children)

        async def play():
            kind, child, length = kinds.deal(), targets.deal(), rng.uniform(5, 40)
            if not program.running():
                return
            if kind == "storm below":
                kind, child = "storm", rng.choice(below or world.children)
            elif kind == "storm" and (child in below or child in branches) or kind == "hang" and child in branches:
                kind = "panic"
            if kind == "storm":
                await self._storm(child)
                return
            if kind == "hang" and self._hanging() >= HANGS:
                kind = "panic"
            await self._inject(child, kind, length)

        return play

    async def _storm(self, child):
        """Panics until the child is given up: the program with it, or the advisor alone."""
        program, life = self.world.program, self.world.program.life.number
        print(f"          a storm of panics of {child}", flush=True)
        # Restarts come ever later: more of them than the intensity allows take half a minute.
        until = time.monotonic() + 40
        while program.running() and program.life.number == life and time.monotonic() < until:
            if "/" in child and (status := await program.status()) and status["advisor"]["state"] == "left_out":
                self.ledger.note("advisor", "is left out", life=life)
                return
            await self._inject(child, "panic", quiet=True)
            await asyncio.sleep(0.5)

    async def _inject(self, child, kind, seconds=None, quiet=False):
        life = self.world.program.life
        args = ["ops", "fault", child, kind]
        if kind == "hang":
            args += ["--for", f"{seconds:.0f}"]
        entry = self.ledger.note("children", kind, child, quiet, life=life.number)
        entry.until = entry.at + seconds if kind == "hang" else None
        code, _, said = await self.world.program.command(*args)
        entry.done = code == 0
        entry.said = said

    def _hanging(self):
        now, life = time.time(), self.world.program.life.number
        return sum(
            1
            for entry in self.ledger.entries
            if entry.lane == "children" and entry.what == "hang" and entry.life == life and entry.until > now
        )

    def node(self, rng):
        """Freezes the node and starts it again."""
        node = self.world.node
        deck = Deck(rng, ["freeze", "freeze", "SIGTERM", "kill -9"])

        async def play():
            kind, length = deck.deal(), rng.uniform(0.5, 8)
            async with self.ledger.lasting("node", kind, f"for {length:.1f} s"):
                if kind == "freeze":
                    node.send(signal.SIGSTOP)
                    await asyncio.sleep(length)
                    node.send(signal.SIGCONT)
                else:
                    await node.end(signal.SIGKILL if kind == "kill -9" else signal.SIGTERM)
                    await asyncio.sleep(length)
                    await node.start()

        return play

    def zmq(self, rng):
        """Breaks the way of notifications."""
        return self._way("zmq", self.world.zmq, rng, ["drop", "lose", "refuse", "silent", "garbage", "cut"])

    def rpc(self, rng):
        """Breaks the way of calls and answers."""
        return self._way("rpc", self.world.rpc, rng, ["drop", "lose", "refuse", "silent", "reset", "cut", "garbage"])

    def _way(self, lane, proxy, rng, kinds):
        deck = Deck(rng, kinds)

        async def play():
            kind, length = deck.deal(), rng.uniform(0.5, 7)
            if kind in ("drop", "lose"):
                self.ledger.note(lane, kind, life=0).until = time.time()
                getattr(proxy, kind)()
                return
            async with self.ledger.lasting(lane, kind, f"for {length:.1f} s"):
                proxy.set(kind)
                await asyncio.sleep(length)
                proxy.set("pass")

        return play

    def disk(self, rng):
        """Fills the disk of data_dir."""
        disk = self.world.disk
        if not disk.small:
            return None

        async def play():
            length = rng.uniform(2, 15)
            async with self._disk_or_end, self.ledger.lasting("disk", "full", f"for {length:.1f} s"):
                try:
                    disk.fill()
                    await asyncio.sleep(length)
                finally:
                    disk.free()
                # What was kept in memory meanwhile is written before anybody may end the process.
                await asyncio.sleep(3)

        return play

    def signals(self, rng):
        """Holds the whole program still for a while, as a machine does that swaps; reloads."""
        program = self.world.program
        deck = Deck(rng, ["suspend", "reload", "reload"] if self.world.is_daemon else ["suspend"])

        async def play():
            kind, length = deck.deal(), rng.uniform(0.5, 8)
            if not program.running() or kind == "reload" and await program.status() is None:
                return
            if kind == "reload":
                async with self._configuration:
                    what = self.world.change_configuration(rng)
                    self.ledger.note("signals", "reload", what, life=program.life.number)
                    program.send(signal.SIGHUP)
                    await asyncio.sleep(2)
                    self.world.configure()
                return
            async with self.ledger.lasting("signals", "suspend", f"for {length:.1f} s"):
                program.send(signal.SIGSTOP)
                await asyncio.sleep(length)
                program.send(signal.SIGCONT)

        return play


class Disk:
    """The directory below which data_dir is; small if it is a mount of its own that may be filled."""

    def __init__(self, path, small):
        self.path, self.small = path, small
        self._filler = path / "filler"

    def fill(self):
        """Takes every free block."""
        with open(self._filler, "ab") as file:
            chunk = 1 << 20
            while chunk >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), file.tell(), chunk)
                    file.seek(0, os.SEEK_END)
                except OSError:
                    chunk //= 2

    def free(self):
        """Gives them back."""
        self._filler.unlink(missing_ok=True)
