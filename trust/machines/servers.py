"""A standby of PostgreSQL, replicated Redis with Sentinel, and nginx, each at its own address."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from ..faults.servers import SECONDS, PostgreSQL, Redis, answer_of, free_port

LAG = 3  # seconds that the standby's data is old
DOWN_AFTER = 10_000  # milliseconds until Sentinel takes a silent master for lost

CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    fastcgi_temp_path {folder}/fastcgi;
    proxy_temp_path {folder}/proxy;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    upstream site {{ {upstream} }}
    server {{
        listen {host}:{port};
        location / {{
            proxy_pass http://site;
            proxy_set_header Host $http_host;
            proxy_set_header X-Real-IP $remote_addr;
        }}
    }}
}}
"""


class Standby(PostgreSQL):
    """A copy of ``primary`` that follows it, but shows what it gets only after ``LAG`` seconds."""

    def __init__(self, folder: Path, host: str, primary: PostgreSQL) -> None:
        self._primary = primary
        super().__init__(folder, host)

    def _create(self) -> None:
        of_primary = ["-h", self._primary.host, "-p", str(self._primary.port), "-U", "postgres"]
        copy = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "-D", str(self._data)]
        self._run("pg_basebackup", *of_primary, *copy)
        self._configure(recovery_min_apply_delay=f"{LAG}s")
        self.start()
        # From now on, a commit is answered when the standby has it too.
        self._primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self._primary.execute("SELECT pg_reload_conf()")
        end = time.monotonic() + SECONDS
        while not self._primary.execute(
            "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        ):
            assert time.monotonic() < end, "the standby does not follow"

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "--wait", "--silent", "-D", str(self._data))

    def lag(self) -> float:
        """Return how many seconds old its newest data is."""
        statement = "SELECT extract(epoch FROM now() - pg_last_xact_replay_timestamp())"
        return float(self.execute(statement))


class ReplicatedRedis:
    """A master, a replica and three sentinels. The first sentinel is on the master's machine."""

    # Replicas log in, so that one can be shut out.
    _LOGIN = ("--user", "replica", "on", ">replica", "~*", "&*", "+@all")
    _AS_REPLICA = ("--masteruser", "replica", "--masterauth", "replica")

    def __init__(self, folder: Path, hosts: Sequence[str]) -> None:
        own, other, *_ = hosts
        self._folder = folder
        self.master = self._redis(own)
        of_master = ("--replicaof", f"{own} {self.master.port}")
        self.replica = self._redis(other, *of_master)
        self.sentinels = [Sentinel(folder, host, self.master) for host in hosts]
        end = time.monotonic() + SECONDS
        while not all(sentinel.is_ready() for sentinel in self.sentinels):
            assert time.monotonic() < end, "the sentinels do not find each other and the replica"
            time.sleep(0.1)

    def _redis(self, host: str, *options: str) -> Redis:
        own = self._folder / host
        own.mkdir()
        announced = ("--replica-announce-ip", host, "--repl-diskless-sync-delay", "0")
        login = (*self._LOGIN, *self._AS_REPLICA)
        return Redis(host, "--dir", str(own), *login, *announced, *options)

    def shut_replica_out(self) -> None:
        """From now on, the replica doesn't learn of changes."""
        assert self.master.send("ACL SETUSER replica off") == b"+OK"
        assert self.master.send("CLIENT KILL TYPE replica").startswith(b":")

    def lose_master(self) -> None:
        """Lose its machine, with a sentinel."""
        self.master.stop()
        self.sentinels[0].stop()

    def master_comes_back(self) -> None:
        """Without data."""
        self.master.start()
        self.sentinels[0].start()

    def is_failed_over(self) -> bool:
        """Whether the other sentinels name the replica, and it takes writes."""
        named = all(sentinel.names(self.replica) for sentinel in self.sentinels[1:])
        return named and self.replica.send("SET trust 1") == b"+OK"

    def stop(self) -> None:
        for server in (*self.sentinels, self.replica, self.master):
            server.stop()


class Sentinel(Redis):
    """Watches ``master`` under the name ``site``."""

    def __init__(self, folder: Path, host: str, master: Redis) -> None:
        self._file = folder / f"sentinel-{host}.conf"
        lines = [
            f"dir {folder}",
            "sentinel resolve-hostnames no",
            f"sentinel monitor site {master.host} {master.port} 2",
            f"sentinel down-after-milliseconds site {DOWN_AFTER}",
            "sentinel failover-timeout site 10000",
            f"sentinel announce-ip {host}",
        ]
        self._file.write_text("\n".join(lines) + "\n")
        super().__init__(host)

    def start(self) -> None:
        command = ["redis-server", str(self._file), "--sentinel"]
        self._begin([*command, "--port", str(self.port), "--bind", self.host])

    def names(self, server: Redis) -> bool:
        """Whether it names ``server`` as the master."""
        answer = self.send("SENTINEL get-master-addr-by-name site")
        return answer.split() == [
            b"*2",
            *self._bulk(server.host),
            *self._bulk(str(server.port)),
        ]

    def is_ready(self) -> bool:
        """Whether it knows the other two sentinels and the replica."""
        return b"slaves=1,sentinels=3" in self.send("INFO sentinel")

    @staticmethod
    def _bulk(text: str) -> list[bytes]:
        return [f"${len(text)}".encode(), text.encode()]


class Nginx:
    """Passes requests on to servers in turn."""

    def __init__(self, folder: Path, servers: Sequence[tuple[str, int]]) -> None:
        self.host, self.port = "127.0.0.1", free_port()
        upstream = " ".join(f"server {host}:{port};" for host, port in servers)
        file = folder / "nginx.conf"
        file.write_text(
            CONFIGURATION.format(folder=folder, upstream=upstream, host=self.host, port=self.port)
        )
        program = executable()
        assert program is not None, "missing() was not asked"
        self._process = subprocess.Popen(
            [program, "-e", "stderr", "-p", str(folder), "-c", str(file)]
        )
        end = time.monotonic() + SECONDS
        while not answer_of(self.host, self.port, "GET / HTTP/1.0\r\n"):
            assert time.monotonic() < end, "nginx does not start"
            assert self._process.poll() is None, "nginx does not start"

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(SECONDS)


def executable() -> str | None:
    """Where nginx is, which Debian doesn't put on everybody's PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
