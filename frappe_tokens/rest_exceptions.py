"""Refusals as exceptions of Django REST framework."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import APIException, AuthenticationFailed, ErrorDetail
from rest_framework.request import Request

from . import verification
from .exceptions import Refused
from .verification import RequestInfo


class AuthenticationRefused(APIException):
    """The response to a refused request: ``{"detail": ..., "code": ...}`` with its headers.

    With the status 401, it is a :class:`RefusedCredentials`, DRF's AuthenticationFailed.

    Attributes:
        status_code: 401, 403, 429 or 503.
        reason: the :class:`~frappe_tokens.exceptions.Reason`.
        auth_header: the value of ``WWW-Authenticate``, "" for none.
        wait: the seconds for ``Retry-After``, or None.
    """

    def __init__(self, refused: Refused, auth_header: str) -> None:
        reason = refused.reason
        self.detail = {
            "detail": ErrorDetail(str(refused.sentence), reason.code),
            "code": ErrorDetail(reason.code, reason.code),
        }
        self.reason = reason
        self.wait = verification.retry_after(refused)
        self.status_code = reason.status
        self.auth_header = auth_header


class RefusedCredentials(AuthenticationRefused, AuthenticationFailed):
    """A refusal with the status 401 and the challenge of the scheme that the request used."""

    def __setattr__(self, name: str, value: object) -> None:
        # DRF would set the challenge of the view's first class, or 403 if that has none.
        if name not in ("auth_header", "status_code") or name not in vars(self):
            super().__setattr__(name, value)


def refusal(refused: Refused, scheme: str, request: Request) -> AuthenticationRefused:
    """Return the exception to raise for ``refused``, with the challenge of ``scheme``."""
    cls = RefusedCredentials if refused.reason.status == 401 else AuthenticationRefused
    return cls(refused, challenge_of(scheme, request, refused))


def challenge_of(scheme: str, request: Request, refused: Refused | None = None) -> str:
    """Return the challenge of ``scheme``, which may also be one for Bearer if the view takes it."""
    takes_bearer = any(
        getattr(each, "scheme", "") == "bearer"
        for each in getattr(request, "authenticators", None) or ()
    )
    bearer = RequestInfo(request, view_of(request)) if takes_bearer else None
    return verification.challenge(scheme, refused, bearer)


def view_of(request: Request) -> Any:
    """Return the view; None for a request that no DRF view has prepared."""
    return (getattr(request, "parser_context", None) or {}).get("view")
