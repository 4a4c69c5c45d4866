"""Secrets in the database: ``check --database default``, and before migrations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.core import checks
from django.core.checks import CheckMessage
from django.db import router, transaction
from django.db.models import F, Q

from ..base_models import AbstractApiKey
from .configuration import source_models, value_of

_UNPEPPERED = "sha256$"
# As Frappe generates them. Its secrets have as many digits: 60 bits.
_SHORT = Q(api_key__regex=r"^[0-9a-f]{15}$", secret_digest__startswith=_UNPEPPERED)
# A secret that was generated since the import is long.
_AS_IMPORTED = Q(rotated_at__isnull=True) | Q(rotated_at__lte=F("created_at"))


def check_secrets(
    databases: Sequence[str] | None = None, **kwargs: object
) -> Iterator[CheckMessage]:
    """W004: anyone who steals the table can find out short secrets."""
    hint = (
        "Set FRAPPE_TOKENS['PEPPERS']: each is then stored with the pepper at the key's next use. "
        "Or rotate the keys: generated secrets are long enough."
    )
    if value_of("PEPPERS"):
        hint = (
            "Each is stored with the pepper at the key's next use. Rotate or revoke keys that "
            "aren't used."
        )
    models = {model.cache_label(): model for model in source_models()}  # each table once
    for alias in databases or ():
        for model in models.values():
            if number := _count(model, alias):
                yield checks.Warning(
                    f"{number} unrevoked API keys of {model._meta.label} (database {alias!r}) came "
                    "from Frappe with secrets of 15 digits, and are stored without a pepper: "
                    "someone with the table could find them by trying.",
                    hint=hint,
                    id="frappe_tokens.W004",
                )


def _count(model: type[AbstractApiKey], alias: str) -> int:
    try:
        if not router.allow_migrate_model(alias, model):
            return 0
        # A savepoint, because the table may not exist before the first migration.
        with transaction.atomic(using=alias):
            keys = model._base_manager.using(alias).filter(_SHORT, _AS_IMPORTED)
            return int(keys.filter(revoked_at__isnull=True).count())
    except Exception:
        return 0
