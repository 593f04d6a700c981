"""A TCP proxy before a server, that can be told to spoil the answers on their way."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Spoil = Callable[[socket.socket, bytes], None]
"""Sends the caller what arrives of a piece of an answer."""


def whole(caller: socket.socket, piece: bytes) -> None:
    """Nothing is spoiled."""
    caller.sendall(piece)


def late_by(seconds: float) -> Spoil:
    """Each piece arrives whole, and late."""

    def late(caller: socket.socket, piece: bytes) -> None:
        time.sleep(seconds)
        caller.sendall(piece)

    return late


def garbage(caller: socket.socket, piece: bytes) -> None:
    """As many bytes, each with all its bits turned."""
    caller.sendall(bytes(byte ^ 0xFF for byte in piece))


def cut(caller: socket.socket, piece: bytes) -> None:
    """The first half arrives, and then the end of the connection."""
    caller.sendall(piece[: len(piece) // 2])
    caller.shutdown(socket.SHUT_RDWR)


def always(answer: bytes) -> Spoil:
    """This arrives in place of each piece."""
    return lambda caller, piece: caller.sendall(answer)


@dataclass
class TcpProxy:
    """Accepts connections at ``port`` and has each answered by a server on this machine.

    Args:
        upstream: The server's port.
        spoil: What is done to the answers; may be changed at any time.
    """

    upstream: int
    spoil: Spoil = whole
    port: int = field(default=0, init=False)

    @contextmanager
    def running(self) -> Iterator["TcpProxy"]:
        """Serve for as long as the block runs."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.port = listening.getsockname()[1]
            threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
            yield self
            listening.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def spoiling(self, spoil: Spoil) -> Iterator[None]:
        """Spoil the answers for as long as the block runs."""
        self.spoil = spoil
        try:
            yield
        finally:
            self.spoil = whole

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                caller, _ = listening.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.upstream))
                except OSError:
                    caller.close()  # as a server that is gone would
                    continue
                for source, target, send in ((caller, server, whole), (server, caller, self._answer)):
                    threading.Thread(target=_pump, args=(source, target, send), daemon=True).start()

    def _answer(self, caller: socket.socket, piece: bytes) -> None:
        self.spoil(caller, piece)


def _pump(source: socket.socket, target: socket.socket, send: Spoil) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 20):
            send(target, piece)
    for end in (source, target):  # the pump of the other direction ends with this one
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
