"""Checks the signature of a report of leaked tokens.

Source: "Implement signature verification in your secret alert service" in
https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partner-program
"""

from __future__ import annotations

import base64
import json
import logging
import math
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.settings import api_settings

from ..conf import conf
from ..logs import RateLimitedLogger
from .errors import Unavailable

# Seconds
FRESH = 60 * 60  # for which keys are used before they are fetched again
USABLE = 24 * 60 * 60  # for which keys are used if that fails
WAIT = 60  # before the next attempt to fetch them

_TIMEOUT_SECONDS = 5
_MOST_BYTES = 64 * 1024

_log_error = RateLimitedLogger(
    logging.getLogger(__name__),
    "The public keys of secret scanning can't be fetched. Its reports may be refused.",
)


class PublicKeys:
    """The public keys at a URL, cached in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget the keys. For tests."""
        self._url = ""
        self._keys: dict[str, str] = {}
        self._tried_at = self._fetched_at = -math.inf

    def find(self, url: str, identifier: str) -> str | None:
        """Return the key with this identifier, in PEM; None if there is none.

        Raises:
            Unavailable: the keys can't be fetched.
        """
        now = self._clock()
        with self._lock:
            if url != self._url:
                self.reset()
                self._url = url
            is_old = now - self._fetched_at >= FRESH or identifier not in self._keys
            is_due = is_old and now - self._tried_at >= WAIT
            if is_due:
                # Before fetching, so that no other thread waits or does the same.
                self._tried_at = now
        failed = False
        if is_due:
            try:
                self._keys, self._fetched_at = _fetch(url), now
            except (OSError, HTTPException, ValueError, RecursionError):
                _log_error()
                failed = True
        if now - self._fetched_at >= USABLE or (failed and identifier not in self._keys):
            raise Unavailable(_("The signature can't be checked. Try again shortly."))
        return self._keys.get(identifier)


public_keys = PublicKeys()


@sensitive_variables()
def check_signature(request: Request) -> None:
    """Refuse a report that isn't signed with one of the keys at ``SECRET_SCANNING_KEYS_URL``.

    Args:
        request: its body was read before its data. It's in no variable here, because reports of
            errors show those.

    Raises:
        ValidationError: reports are off.
        PermissionDenied: the signature is missing or wrong.
        Unavailable: the keys can't be fetched.
    """
    url = conf.SECRET_SCANNING_KEYS_URL
    if url is None:
        text = _('This site takes no list of findings. Send one token: {"token": "..."}.')
        raise ValidationError({api_settings.NON_FIELD_ERRORS_KEY: [text]})
    identifier = request.headers.get("Github-Public-Key-Identifier", "")
    signature = request.headers.get("Github-Public-Key-Signature", "")
    key = public_keys.find(url, identifier) if identifier and signature else None
    if key is None or not _is_signed(request, signature, key):
        raise PermissionDenied(_("The signature is missing or wrong."), "invalid_signature")


@sensitive_variables()
def _is_signed(request: Request, signature: str, key: str) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        public_key = load_pem_public_key(key.encode())
        if not isinstance(public_key, EllipticCurvePublicKey):
            return False
        signed = base64.b64decode(signature, validate=True)
        public_key.verify(signed, request.body, ECDSA(SHA256()))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _fetch(url: str) -> dict[str, str]:
    """Return the keys in the document at ``url``, by identifier. Follows no redirects."""
    parts = urlsplit(url)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = connect(parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS)
    try:
        # GitHub refuses requests without a User-Agent.
        headers = {"Accept": "application/json", "User-Agent": "frappe_tokens"}
        target = parts._replace(scheme="", netloc="", fragment="").geturl()
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        content = response.read(_MOST_BYTES + 1)
    finally:
        connection.close()
    if response.status != 200 or len(content) > _MOST_BYTES:
        raise ValueError(f"status {response.status}, {len(content)} bytes")
    try:
        keys = json.loads(content)["public_keys"]
        return {str(key["key_identifier"]): str(key["key"]) for key in keys}
    except (KeyError, TypeError) as error:
        raise ValueError("not a document of public keys") from error
