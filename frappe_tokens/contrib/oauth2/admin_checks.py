"""Whether each admin site guards the toolkit's models."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.sites import all_sites
from django.core import checks
from django.core.checks import CheckMessage

from .admin import guard_for


def check_admin(**kwargs: Any) -> list[CheckMessage]:
    """W012: anyone who may change an application or a token there can act as other users."""
    return [
        checks.Warning(
            f'The admin site "{site.name}" has {model._meta.label} without a guard: anyone who may '
            "change it there may act as other users.",
            hint="After it is registered, call frappe_tokens.contrib.oauth2.admin.guard(site), or "
            f"put {mixin.__name__} of that module before its ModelAdmin. Remove it from inlines.",
            id="frappe_tokens.W012",
        )
        for site in sorted(all_sites, key=lambda site: site.name)
        for model, model_admin in site._registry.items()
        for model, mixin in _unguarded(model, model_admin)
    ]


def _unguarded(model: Any, model_admin: Any) -> list[tuple[Any, Any]]:
    mixin = guard_for(model)
    own = [(model, mixin)] if mixin is not None and not isinstance(model_admin, mixin) else []
    edited = {inline.model for inline in model_admin.inlines}
    return own + [(other, guard_for(other)) for other in edited if guard_for(other) is not None]
