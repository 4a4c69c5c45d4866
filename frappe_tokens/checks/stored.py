"""What is stored: ``check --database default``, and before migrations."""

from __future__ import annotations

from collections.abc import Sequence

from django.core import checks
from django.core.checks import CheckMessage
from django.db import router, transaction
from django.db.models import F, Q

from ..base_models import AbstractApiKey
from .settings import source_models, value_of

# As Frappe makes them. The secret that goes with it has as many digits: 60 bits.
_FRAPPE_KEY = r"^[0-9a-f]{15}$"
_UNPEPPERED = "sha256$"


def check_secrets(databases: Sequence[str] | None = None, **kwargs: object) -> list[CheckMessage]:
    """W004: whoever steals the table can find out short secrets."""
    tables = {model.cache_label(): model for model in source_models()}
    counted = [
        (_count(model, alias), model._meta.label, alias)
        for alias in databases or ()
        for model in tables.values()
    ]
    return [_message(*found) for found in counted if found[0]]


def _message(number: int, label: str, alias: str) -> CheckMessage:
    peppers = (
        "Each is stored anew, with the pepper, at the key's next use. Rotate or revoke those that "
        "nobody uses."
        if value_of("PEPPERS")
        else "Set FRAPPE_TOKENS['PEPPERS']: each is then stored anew at the key's next use. Or "
        "rotate the keys: generated secrets are long enough."
    )
    return checks.Warning(
        f"{number} live API keys of {label} (database {alias!r}) came from Frappe with secrets of "
        "15 digits, and are stored without a pepper: a stolen table can be searched for them.",
        hint=peppers,
        id="frappe_tokens.W004",
    )


def _count(model: type[AbstractApiKey], alias: str) -> int:
    short = Q(api_key__regex=_FRAPPE_KEY, secret_digest__startswith=_UNPEPPERED)
    # What was generated for such a key since then is long.
    as_imported = Q(rotated_at__isnull=True) | Q(rotated_at__lte=F("created_at"))
    try:
        if not router.allow_migrate_model(alias, model):
            return 0
        # A savepoint, as the table may not be there yet: migrations ask before they begin.
        with transaction.atomic(using=alias):
            keys = model._base_manager.using(alias).filter(short, as_imported)
            return int(keys.filter(revoked_at__isnull=True).count())
    except Exception:
        return 0
