"""PostgreSQL and Redis of our own, which may be stopped."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .certificates import DAY, Authority

SECONDS = 60  # for what takes one or two
EXPIRED = timedelta(seconds=-1)


def missing() -> list[str]:
    """Return what is not installed here, and that cannot be done without."""
    needed = {
        "PostgreSQL's initdb": binaries(),
        "redis-server": shutil.which("redis-server"),
        "psycopg": find_spec("psycopg"),
        "redis": find_spec("redis"),
    }
    return [name for name, where in needed.items() if not where]


def binaries() -> Path | None:
    """The newest version's directory, which Debian doesn't put on the PATH."""
    found = [Path(name) for name in [shutil.which("initdb")] if name]
    of_debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    found += sorted(of_debian, key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else None


def free_port(host: str = "127.0.0.1") -> int:
    with socket.create_server((host, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class PostgreSQL:
    """A server in ``folder``, with a certificate that its clients check."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self.host, self.port, self._folder = host, free_port(host), folder
        self._data, self._log = folder / "data", folder / "log"
        # It refuses to run as root.
        self._owner = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        folder.chmod(0o755)
        shutil.chown(folder, self._owner)
        self._create()

    def _create(self) -> None:
        self._authority = Authority(self._folder)
        self._run("initdb", "--auth=trust", "--username=postgres", "--no-sync", str(self._data))
        self._certify(DAY)
        self._configure(
            unix_socket_directories="''",
            fsync="off",
            ssl="on",
            ssl_cert_file=f"'{self._folder / 'server.crt'}'",
            ssl_key_file=f"'{self._folder / 'server.key'}'",
        )
        self.start()
        self.execute("CREATE ROLE site LOGIN", database="postgres")
        self.execute("CREATE DATABASE site OWNER site", database="postgres")

    def _configure(self, **settings: str) -> None:
        """Set what is not as by default, and the address."""
        own = {"port": self.port, "listen_addresses": f"'{self.host}'", **settings}
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in own.items())

    @property
    def url(self) -> str:
        """For the site. It is no superuser, so that there is always a connection left for us."""
        options = f"sslmode=verify-full&sslrootcert={self._authority.root}&connect_timeout=5"
        return f"postgres://site@127.0.0.1:{self.port}/site?{options}"

    def start(self) -> None:
        data, log = str(self._data), str(self._log)
        self._run("pg_ctl", "start", "--wait", "--silent", "-D", data, "-l", log)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-m", "immediate", "--wait", "--silent", "-D", str(self._data))

    @property
    def is_running(self) -> bool:
        return (self._data / "postmaster.pid").exists()

    def connect(self, user: str = "postgres", database: str = "site") -> Any:
        import psycopg  # not needed by the other parts

        return psycopg.connect(
            f"host={self.host} port={self.port} user={user} dbname={database} sslmode=disable",
            autocommit=True,
            # One of the faults is that it's on.
            options="-c default_transaction_read_only=off",
        )

    def execute(self, statement: str, database: str = "site") -> Any:
        """Execute a statement as a superuser. Return its first value, if any."""
        with self.connect(database=database) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None

    def end_connections(self) -> None:
        """End those of the site, and wait until they have ended."""
        own = "FROM pg_stat_activity WHERE usename = 'site'"
        self.execute(f"SELECT count(pg_terminate_backend(pid, 2000)) {own}")

    def end_all_connections(self) -> None:
        """Also those that were about to begin. The site must not be able to make another."""
        end = time.monotonic() + SECONDS
        while self.connections():
            assert time.monotonic() < end, "the site has connections, but should have none"
            self.end_connections()

    def connections(self) -> int:
        """Return how many the site has."""
        number: int = self.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'site'")
        return number

    def replace_certificate(self, ends_in: timedelta) -> None:
        """It counts for new connections, so the present ones end."""
        import psycopg

        self._certify(ends_in)
        self.execute("SELECT pg_reload_conf()")
        is_used, end = False, time.monotonic() + SECONDS
        while not is_used:
            assert time.monotonic() < end, "PostgreSQL did not take the certificate"
            try:
                psycopg.connect(self.url.replace("postgres:", "postgresql:")).close()
                is_used = ends_in > EXPIRED
            except psycopg.OperationalError:
                is_used = ends_in <= EXPIRED
        if ends_in <= EXPIRED:
            self.end_all_connections()

    def _certify(self, ends_in: timedelta) -> None:
        certificate, key = self._folder / "server.crt", self._folder / "server.key"
        self._authority.issue(certificate, key, ends_in)
        for path in (certificate, key):
            shutil.chown(path, self._owner)
            path.chmod(0o600)

    def _run(self, program: str, *arguments: str) -> None:
        directory = binaries()
        assert directory is not None, "missing() was not asked"
        subprocess.run(
            [str(directory / program), *arguments],
            user=self._owner,
            cwd=self._folder,
            check=True,
            # Not a pipe, which the server would keep open.
            stdout=subprocess.DEVNULL,
            timeout=SECONDS,
        )


class Redis:
    """A server that keeps nothing on the disk."""

    def __init__(self, host: str = "127.0.0.1", *options: str) -> None:
        self.host, self.port, self._options = host, free_port(host), options
        self.url = f"redis://{host}:{self.port}/0"
        self.start()

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", self.host]
        command += ["--save", "", "--appendonly", "no", "--daemonize", "no", *self._options]
        self._begin(command)

    def _begin(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while self.send("PING") != b"+PONG":
            assert self._process.poll() is None, "redis-server does not start"

    def stop(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(SECONDS)

    def hang(self) -> None:
        """Take connections and commands, and answer nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def send(self, command: str) -> bytes:
        """Return the first bytes of the answer; none if there is no answer."""
        return answer_of(self.host, self.port, command)


def answer_of(host: str, port: int, command: str) -> bytes:
    """Return the first bytes that a server of Redis or Sentinel answers, if any."""
    with suppress(OSError), socket.create_connection((host, port), 1) as client:
        client.sendall(f"{command}\r\n".encode())
        return client.recv(1000).strip()
    return b""
