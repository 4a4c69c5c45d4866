"""The admin pages of the request log."""

from .model_admin import ApiRequestLogAdmin

__all__ = ["ApiRequestLogAdmin"]
