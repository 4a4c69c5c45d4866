"""Runs commands as from a shell."""

import os
from io import StringIO

import pytest
from django.core.management import CommandError, call_command


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
