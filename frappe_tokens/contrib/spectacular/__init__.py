"""Descriptions of the schemes, the refusals and the app's own URLs for drf-spectacular.

The app registers them if ``drf_spectacular`` is in ``INSTALLED_APPS``.
"""

from __future__ import annotations

from drf_spectacular.settings import spectacular_settings

# Importing it registers its descriptions.
from . import calls as calls
from .operations import exclude_operations
from .schemes import describe_refusals

__all__ = ["describe_refusals", "exclude_operations", "register"]


def register() -> None:
    """Put our hooks before the project's, which can change the result, unless it lists them."""
    for hooks, ours in (
        (spectacular_settings.PREPROCESSING_HOOKS, exclude_operations),
        (spectacular_settings.POSTPROCESSING_HOOKS, describe_refusals),
    ):
        if ours not in hooks:
            hooks.insert(0, ours)
