"""drf-spectacular describes the schemes, the refusals and the app's own URLs.

It is enough to have ``drf_spectacular`` and ``frappe_tokens`` in ``INSTALLED_APPS``, whose
configuration calls :func:`register`.
"""

from __future__ import annotations

from drf_spectacular.settings import spectacular_settings

from . import operations  # noqa: F401 - importing it registers its classes
from .schemes import describe_refusals

__all__ = ["describe_refusals", "register"]


def register() -> None:
    """Put :func:`describe_refusals` before the other ``POSTPROCESSING_HOOKS``, unless it's there.

    The project's own hooks then see what it wrote, and can change it.
    """
    hooks = spectacular_settings.POSTPROCESSING_HOOKS
    if describe_refusals not in hooks:
        hooks.insert(0, describe_refusals)
