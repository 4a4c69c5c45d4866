"""drf-spectacular describes the schemes, the refusals and the app's own addresses.

``INSTALLED_APPS`` with ``drf_spectacular`` and ``frappe_tokens`` is enough: the app's configuration
calls :func:`register`.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.settings import spectacular_settings

# Imported for what that does: their classes register themselves when they are made.
from . import fields, schemes, views  # noqa: F401
from .refusals import describe_refusals

__all__ = ["describe_refusals", "register"]


def register() -> None:
    """Put :func:`describe_refusals` before the hooks of ``POSTPROCESSING_HOOKS``.

    Where it is among them already, it stays at its place.
    """
    settings: Any = spectacular_settings
    if describe_refusals not in settings.POSTPROCESSING_HOOKS:
        # First, so that the project's own see what it wrote, and may change it.
        settings.POSTPROCESSING_HOOKS = [describe_refusals, *settings.POSTPROCESSING_HOOKS]
