"""Stands between a client and Redis, and takes it away, or only its replies."""

import select
import socket
import threading
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit


class Proxy:
    """Passes on what both sides send.

    Attributes:
        url: for clients.
        is_silent: no reply arrives, but the connection stays.
        lost_replies: of how many of the next scripts the reply is lost, and the connection ends.
    """

    def __init__(self, url):
        parts = urlsplit(url)
        self._redis = (parts.hostname, parts.port or 6379)
        self._listener = None
        self._threads = []
        self._listen(0)
        self._port = self._listener.getsockname()[1]
        credentials, at, _ = parts.netloc.rpartition("@")
        self.url = parts._replace(netloc=f"{credentials}{at}127.0.0.1:{self._port}").geturl()
        self.is_silent = False
        self.lost_replies = 0

    @contextmanager
    def away(self):
        """Connections end, and new ones are refused."""
        self.stop()
        yield
        self._listen(self._port)

    def stop(self):
        listener, self._listener = self._listener, None
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _listen(self, port):
        self._listener = socket.create_server(("127.0.0.1", port))
        self._start(self._accept, self._listener)

    def _start(self, function, connection):
        thread = threading.Thread(target=function, args=[connection])
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener):
        with suppress(OSError):
            while True:
                self._start(self._pass_on, listener.accept()[0])

    def _pass_on(self, client):
        with suppress(OSError), closing(client), socket.create_connection(self._redis) as redis:
            is_script = False
            while self._listener is not None:
                for side in select.select([client, redis], [], [], 0.02)[0]:
                    data = side.recv(2**20)
                    if not data:
                        return
                    if side is client:
                        is_script |= b"\r\nEVAL\r\n" in data
                        redis.sendall(data)
                    elif is_script and self.lost_replies:
                        self.lost_replies -= 1
                        return
                    elif not self.is_silent:
                        client.sendall(data)
