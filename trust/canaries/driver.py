"""The site under test: its database, its servers, and requests to them."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks.server import _stop

ROOT = Path(__file__).parent.parent.parent
CSRF = "c" * 32


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: str
    body: str

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Site:
    """A directory with a database, logs and mails; and a server, if one is running."""

    directory: Path
    environment: Mapping[str, str]
    port: int = 0
    sessions: dict[str, str] = field(default_factory=dict)

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        form: Mapping[str, Any] | None = None,
        content: object = None,
        user: str = "",
        fault: str = "",
    ) -> Answer:
        """Send a request, by the session of ``user``, if given."""
        sent = {"Host": f"127.0.0.1:{self.port}", "Accept": "*/*", **(headers or {})}
        body = None
        if form is not None:
            body = urlencode(form, doseq=True)
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        elif content is not None:
            body = json.dumps(content)
            sent["Content-Type"] = "application/json"
        if user:
            sent["Cookie"] = f"sessionid={self.sessions[user]}; csrftoken={CSRF}"
            sent["X-CSRFToken"] = CSRF
        if fault:
            sent["Trust-Fault"] = fault
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            body = "" if response.status == 101 else response.read().decode()
            return Answer(response.status, str(response.headers), body)
        finally:
            connection.close()

    def places(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.directory / "places.json").read_text())
        return found

    @contextmanager
    def serving(self, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a server. ``{fd}`` in ``command`` is the number of its socket."""
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            (self.directory / "server").open("ab") as log,
        ):
            self.port = listener.getsockname()[1]
            process = subprocess.Popen(
                [sys.executable, "-m", *(part.format(fd=listener.fileno()) for part in command)],
                cwd=ROOT,
                env={**os.environ, **self.environment, **environment},
                pass_fds=[listener.fileno()],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            _stop(process)


@contextmanager
def new_site(receiver: str) -> Iterator[Site]:
    """Make a site, and set Django up in this process for its database."""
    with tempfile.TemporaryDirectory(prefix="trust-canaries-") as name:
        directory = Path(name)
        environment = {
            "DATABASE_URL": os.environ.get("DATABASE_URL") or f"sqlite:///{name}/db.sqlite3",
            "DJANGO_DEBUG": "0",
            "DJANGO_SECRET_KEY": secrets.token_hex(32),
            "DJANGO_SETTINGS_MODULE": "trust.canaries.settings",
            "TRUST_DIR": name,
            "TRUST_PII": "0",
            "TRUST_PREFIX": f"trust-canaries-{secrets.token_hex(4)}",
            "TRUST_RECEIVER": receiver,
        }
        os.environ.update(environment)
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        yield Site(directory, environment)
