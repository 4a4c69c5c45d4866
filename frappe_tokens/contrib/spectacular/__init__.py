"""drf-spectacular describes the schemes, the refusals and the app's own URLs.

It is enough to have ``drf_spectacular`` and ``frappe_tokens`` in ``INSTALLED_APPS``, whose
configuration calls :func:`register`.
"""

from __future__ import annotations

from drf_spectacular.settings import spectacular_settings

# Its descriptions count as soon as they are imported.
from . import calls as calls
from .operations import exclude_operations
from .schemes import describe_refusals

__all__ = ["describe_refusals", "exclude_operations", "register"]


def register() -> None:
    """Put our hooks before the project's, unless it lists them itself.

    Its own hooks then see what ours left and wrote, and can change it.
    """
    for hooks, ours in (
        (spectacular_settings.PREPROCESSING_HOOKS, exclude_operations),
        (spectacular_settings.POSTPROCESSING_HOOKS, describe_refusals),
    ):
        if ours not in hooks:
            hooks.insert(0, ours)
