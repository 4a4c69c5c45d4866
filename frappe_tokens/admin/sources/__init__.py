"""Key generation and revocation in a project's admin of another source of keys."""

from .mixin import ApiKeySourceMixin

__all__ = ["ApiKeySourceMixin"]
