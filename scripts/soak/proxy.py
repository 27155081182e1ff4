"""A TCP proxy between the program and its node that can be told to misbehave."""

import asyncio
import contextlib
import random
import socket
import struct

# What a proxy can do to those who speak through it. Until it is told to pass again:
#   refuse   no connection is let in, those that are open are reset
#   silent   everything stays open and nothing is passed on; what came meanwhile follows later
#   reset    a connection is reset in the middle of the next answer
#   cut      a connection is closed in the middle of the next answer
#   garbage  answers are replaced by random bytes
# At once, and without a mode:
#   drop     every open connection is reset
#   lose     every open connection stays open, and nothing passes through it ever again
MODES = ("pass", "refuse", "silent", "reset", "cut", "garbage")


class Proxy:
    """Listens on a port of its own and speaks with `target` for its clients."""

    def __init__(self, name, target, rng):
        self.name = name
        self.port = None
        self._target = target
        self._rng = random.Random(rng.random())
        self._mode = "pass"
        self._passing = asyncio.Event()
        self._passing.set()
        self._links = set()
        self._server = None

    async def start(self):
        """Takes a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self):
        """Closes everything."""
        if self._server:
            self._server.close()
        self.drop()

    def set(self, mode):
        """Changes what is done to connections, those that are open included."""
        assert mode in MODES, mode
        self._mode = mode
        if mode == "silent":
            self._passing.clear()
        else:
            self._passing.set()
        if mode == "refuse":
            self.drop()

    def drop(self):
        """Resets every open connection."""
        for link in list(self._links):
            link.reset()

    def lose(self):
        """Every open connection goes silent for good."""
        for link in self._links:
            link.lost = True

    async def _serve(self, reader, writer):
        if self._mode == "refuse":
            reset(writer)
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            reset(writer)
            return
        link = Link(writer, up_writer)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(link, reader, up_writer, answers=False))
                group.create_task(self._pump(link, up_reader, writer, answers=True))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            link.reset()
            self._links.discard(link)

    async def _pump(self, link, reader, writer, answers):
        while data := await reader.read(1 << 16):
            await self._passing.wait()
            if link.lost:
                continue
            if answers and self._mode in ("reset", "cut"):
                writer.write(data[: self._rng.randrange(len(data))])
                if self._mode == "reset":
                    # What was just written may or may not arrive, as it is with a real reset.
                    link.reset()
                else:
                    link.close()
                return
            if answers and self._mode == "garbage":
                data = self._rng.randbytes(len(data))
            writer.write(data)
            await writer.drain()
        link.close()


class Link:
    """Both ends of one connection."""

    def __init__(self, *writers):
        self.lost = False
        self._writers = writers

    def reset(self):
        for writer in self._writers:
            reset(writer)

    def close(self):
        for writer in self._writers:
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()


def reset(writer):
    """Ends a connection with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
