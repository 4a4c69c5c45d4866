"""Puts the faults into their places."""

from types import SimpleNamespace

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from oauthlib import common
from oauthlib.oauth2.rfc6749.grant_types import authorization_code

from frappe_tokens import signals

from . import faults
from .kinds import canary

SIGNALS = ["keys_generated", "key_revoked", "authentication_succeeded", "authentication_failed"]


class CanariesConfig(AppConfig):
    name = "trust.canaries"

    def ready(self) -> None:
        connection_created.connect(faults.in_statements, weak=False)
        faults.in_threads()
        for name in SIGNALS:
            getattr(signals, name).connect(_receive, weak=False)
        # The toolkit has no setting for codes.
        theirs = {**vars(common), "generate_token": lambda: canary("AC")}
        authorization_code.common = SimpleNamespace(**theirs)


def _receive(**_kwargs: object) -> None:
    faults.reach("receiver")
