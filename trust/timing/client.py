"""One client over one connection, which measures each request."""

from __future__ import annotations

import gc
import random
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from .kinds import Kind

SECONDS = 60  # for what takes milliseconds
_DATE = re.compile(rb"Date: [^\r]+\r\n")
_LENGTH = re.compile(rb"Content-Length: (\d+)\r\n", re.IGNORECASE)


@dataclass(slots=True)
class Measured:
    """Nanoseconds by kind, in one list for each block, and the responses with their number."""

    blocks: dict[str, list[list[int]]] = field(default_factory=dict)
    responses: dict[bytes, int] = field(default_factory=dict)


class Client:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self._socket.close()

    def send(self, request: bytes) -> tuple[int, bytes]:
        """Return the nanoseconds it took, and the response without its date."""
        begin = time.perf_counter_ns()
        self._socket.sendall(request)
        response = self._socket.recv(65536)
        while not _is_whole(response):
            # The server sends the head first, and the body once the head is acknowledged. By
            # default, Linux does that after 40 milliseconds.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            more = self._socket.recv(65536)
            assert more, f"the server ended the connection after {response!r}"
            response += more
        taken = time.perf_counter_ns() - begin
        return taken, _DATE.sub(b"", response)

    def measure(
        self,
        kinds: Sequence[Kind],
        api_keys: dict[str, list[str]],
        rng: random.Random,
        blocks: int,
        size: int,
    ) -> Measured:
        """Send ``size`` requests of each main kind in each block, in random order.

        So what makes the machine slower for a while makes all kinds slower.
        """
        measured = Measured({kind.name: [] for kind in kinds})
        for number in range(-1, blocks):
            requests = [
                (kind.name, kind.request(rng.choice(api_keys[kind.name]), kind.api_secret(rng)))
                for kind in kinds
                for _ in range(size // kind.divisor)
            ]
            rng.shuffle(requests)
            taken: dict[str, list[int]] = {kind.name: [] for kind in kinds}
            gc.collect()
            gc.disable()
            for name, request in requests:
                nanoseconds, response = self.send(request)
                taken[name].append(nanoseconds)
                measured.responses[response] = measured.responses.get(response, 0) + 1
            gc.enable()
            # The first block is the warm-up.
            for name in taken if number >= 0 else ():
                measured.blocks[name].append(taken[name])
        return measured


def _is_whole(response: bytes) -> bool:
    head, _, body = response.partition(b"\r\n\r\n")
    length = _LENGTH.search(head + b"\r\n")
    return length is not None and len(body) >= int(length[1])
