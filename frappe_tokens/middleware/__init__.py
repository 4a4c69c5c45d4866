"""Django middleware, sync and async."""

from .authentication import TokenAuthenticationMiddleware
from .request_log import RequestLogMiddleware

__all__ = ["RequestLogMiddleware", "TokenAuthenticationMiddleware"]
