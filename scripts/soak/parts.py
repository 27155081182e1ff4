"""The processes of the world: a node and the program, each started again whenever it has ended."""

import asyncio
import base64
import http.client
import json
import os
import signal
import socket
import time
from dataclasses import dataclass, field


# A service manager would kill a program that says nothing for this long.
WATCHDOG_S = 20


def free_port():
    """A port that nobody listens on now. Nobody else on this machine is expected to take it."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def send(process, how):
    """Sends a signal to a process; whether it was there to receive it."""
    # Not asyncio's own, which polls and may take the exit code away from whoever waits for it.
    if process is None or process.returncode is not None:
        return False
    try:
        os.kill(process.pid, how)
    except ProcessLookupError:
        return False
    return True


class Node:
    """`signalcore devnode` with its chain on disk, on ports that stay the same."""

    def __init__(self, binary, directory, mature):
        self.rpc_port, self.zmq_port = free_port(), free_port()
        self.cookie = directory / "node" / "regtest" / ".cookie"
        self._directory = directory
        self._command = [
            binary, "devnode", "--json", "--data-dir", directory / "node",
            "--rpc", f"127.0.0.1:{self.rpc_port}", "--zmq", f"127.0.0.1:{self.zmq_port}",
        ]  # fmt: skip
        self._mature = mature
        self._process = None
        self.address = None

    async def start(self):
        """Starts it and waits until it answers."""
        first = ["--generate", str(self._mature)] if self.address is None else []
        # Transactions need mature coins; those that the program mined may not be yet.
        for more in (["--transactions", "20"], []):
            with open(self._directory / "node.log", "ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command, *first, *more,
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
                )  # fmt: skip
            line = await asyncio.wait_for(self._process.stdout.readline(), 60)
            if line:
                self.address = json.loads(line)["address"]
                return
            await self._process.wait()
        raise RuntimeError(f"the node did not start: see {self._directory / 'node.log'}")

    async def end(self, how):
        """Ends it with a signal and waits until it has ended."""
        if self.send(how):
            self.send(signal.SIGCONT)
            try:
                await asyncio.wait_for(self._process.wait(), 30)
            except TimeoutError:
                self.send(signal.SIGKILL)
                await self._process.wait()
                raise RuntimeError("the node did not end within 30 s") from None

    def send(self, how):
        """Sends it a signal; whether there was anybody to receive it."""
        return send(self._process, how)

    def call(self, method, *params, batch=None):
        """One RPC call, or many of the same method."""
        many = batch is not None
        calls = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(one)}
            for number, one in enumerate(batch if many else [params])
        ]
        login = base64.b64encode(self.cookie.read_bytes().strip()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self.rpc_port, timeout=60)
        try:
            connection.request(
                "POST", "/", json.dumps(calls if many else calls[0]), {"Authorization": f"Basic {login}"}
            )
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        results = [one["result"] for one in (answer if many else [answer])]
        return results if many else results[0]

    def chain(self, above):
        """Hash by height of every block above a height."""
        heights = range(above + 1, self.call("getblockcount") + 1)
        chain = {}
        for start in range(0, len(heights), 500):
            part = heights[start : start + 500]
            chain.update(zip(part, self.call("getblockhash", batch=[[height] for height in part])))
        return chain


@dataclass
class Sample:
    """What one look at a process showed."""

    age: float
    rss: int
    descriptors: int
    threads: int
    status: dict | None


@dataclass
class Life:
    """One process of the program, from its start to its end. Times are seconds since 1970."""

    number: int
    pid: int
    began: float
    log: os.PathLike
    faults: str | None
    ended: float | None = None
    code: int | None = None
    # Why the world ended it, and when; None where it ended by itself.
    asked: str | None = None
    asked_at: float | None = None
    last_line: str = ""
    # Seconds from the start to READY=1, and between two pings of the watchdog at most.
    ready: float | None = None
    longest_silence: float = 0.0
    pinged: float | None = None
    samples: list[Sample] = field(default_factory=list)


class Program:
    """The program under test: one life after the other."""

    def __init__(self, binary, config, directory, socket_path, command):
        self.lives = []
        self.config = config
        self.command_name = command
        self._notify = None
        self._binary = binary
        self._directory = directory
        self._socket = socket_path
        self._process = None
        # Resolves when the current life is over.
        self.over = None

    @property
    def life(self):
        """The current life, or the last one."""
        return self.lives[-1]

    def running(self):
        """Whether a life goes on."""
        return self.over is not None and not self.over.done()

    async def start(self, faults=None):
        """Begins the next life."""
        number = len(self.lives) + 1
        directory = self._directory / f"life-{number:04}"
        directory.mkdir()
        log = directory / "signalcore.log"
        # Backtraces cost memory that is not the program's.
        environment = dict(os.environ) | {"RUST_BACKTRACE": "0", "SIGNALCORE_LOG_DIR": str(directory)}
        if faults:
            environment["SIGNALCORE_FAULT"] = faults
        if self.command_name == "daemon":
            environment |= {"NOTIFY_SOCKET": self._listen(), "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}
        # Known before it is born: it may be ready before its creation has returned.
        life = Life(number, 0, time.time(), log, faults)
        self.lives.append(life)
        with open(directory / "stderr", "ab") as stderr:
            self._process = await asyncio.create_subprocess_exec(
                self._binary, self.command_name, "--json", "--color", "never", "--config", self.config,
                env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=stderr,
            )  # fmt: skip
        life.pid = self._process.pid
        self.over = asyncio.create_task(self._wait(self._process, life))

    def _listen(self):
        """The socket on which a service manager hears of its services."""
        path = str(self._directory / "notify")
        if self._notify is None:
            self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._notify.bind(path)
            self._notify.setblocking(False)
            asyncio.get_running_loop().add_reader(self._notify, self._hear)
        return path

    def _hear(self):
        message, now, life = self._notify.recv(1 << 16).decode(errors="replace"), time.time(), self.life
        for line in message.splitlines():
            if line == "READY=1" and life.ready is None:
                life.ready = now - life.began
            elif line == "WATCHDOG=1":
                if life.pinged:
                    life.longest_silence = max(life.longest_silence, now - life.pinged)
                life.pinged = now

    @staticmethod
    async def _wait(process, life):
        stdout, _ = await process.communicate()
        life.ended, life.code = time.time(), process.returncode
        lines = stdout.decode(errors="replace").splitlines()
        life.last_line = lines[-1] if lines else ""

    def ask(self, how, why):
        """Sends a signal that is to end the current life, and notes why."""
        asked_at = time.time()
        if self.running() and self.send(how):
            self.life.asked, self.life.asked_at = why, asked_at
            # One that is held still ends too.
            self.send(signal.SIGCONT)

    def send(self, how):
        """Sends a signal; whether there was anybody to receive it."""
        return send(self._process, how)

    async def ended(self, patience):
        """Waits for the end of the current life; whether it came."""
        done, _ = await asyncio.wait([self.over], timeout=patience)
        return bool(done)

    async def command(self, *args, patience=20):
        """Runs another command of the binary to its end: exit code, stdout, stderr."""
        process = await asyncio.create_subprocess_exec(
            self._binary, *args, "--config", self.config,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = await asyncio.wait_for(process.communicate(), patience)
        except TimeoutError:
            process.kill()
            out, err = await process.communicate()
            return None, out.decode(errors="replace"), f"no end within {patience} s"
        return process.returncode, out.decode(errors="replace"), err.decode(errors="replace").strip()

    async def status(self):
        """The status document, from the control socket; None while nobody answers."""
        try:
            async with asyncio.timeout(3):
                reader, writer = await asyncio.open_unix_connection(self._socket, limit=1 << 22)
                try:
                    writer.write(b'{"command":"status"}\n')
                    await writer.drain()
                    answer = json.loads(await reader.readline())
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError):
            return None
        return answer.get("status")

    async def sample(self):
        """Looks at the current life: memory, descriptors, threads, status."""
        life = self.life
        try:
            with open(f"/proc/{life.pid}/status") as file:
                fields = dict(line.split(":", 1) for line in file)
            descriptors = len(os.listdir(f"/proc/{life.pid}/fd"))
            rss = int(fields["VmRSS"].split()[0]) * 1024
            threads = int(fields["Threads"])
        except (OSError, KeyError):
            return None
        status = await self.status()
        sample = Sample(time.time() - life.began, rss, descriptors, threads, status)
        if life.ended is None:
            life.samples.append(sample)
        return sample
