"""Runs commands as from a shell."""

import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import RequestFactory
from django.views.debug import ExceptionReporter


def run(*command, **options):
    """Return what a command prints, and what it reports on stderr."""
    out, err = StringIO(), StringIO()
    call_command(*command, stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def error_of(*command):
    """Return the message of the error that a command ends with."""
    with pytest.raises(CommandError) as raised:
        run(*command)
    assert raised.value.returncode == 1
    return str(raised.value)


def run_on_terminal(*command):
    """Return what a command prints, and what it shows on a terminal that is its stderr."""
    out = StringIO()
    controller, terminal = os.openpty()
    with os.fdopen(controller, "rb", buffering=0) as screen, os.fdopen(terminal, "w") as err:
        try:
            call_command(*command, stdout=out, stderr=err)
        except CommandError as error:
            err.write(str(error))
        # Read before the terminal is closed, which loses the rest on some systems.
        err.write("END")
        err.flush()
        shown = ""
        while not shown.endswith("END"):
            shown += screen.read(65_536).decode()
    return out.getvalue(), shown.removesuffix("END")


@contextmanager
def failing(verb, words="", number=1):
    """Have the statement of this verb fail that comes as ``number`` of those with these words."""
    seen = []

    def execute_or_fail(execute, sql, *more):
        if sql.startswith(verb) and words in sql:
            seen.append(sql)
            if len(seen) >= number:
                raise RuntimeError("the disk is full")
        return execute(sql, *more)

    with connection.execute_wrapper(execute_or_fail):
        yield


def error_page(raised):
    """Return Django's page about an exception, as HTML and as text."""
    reporter = ExceptionReporter(RequestFactory().get("/"), raised.type, raised.value, raised.tb)
    return reporter.get_traceback_html() + reporter.get_traceback_text()


@contextmanager
def serving(answer):
    """Serve on the loopback interface the status, content and headers that ``answer`` returns."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, content, headers = answer(self.path)
            self.send_response(status)
            for header in headers.items():
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    # shutdown() waits for the end of such an interval.
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
