"""What requests present: an API key with its secret, or an access token."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Protocol, cast

from .. import crypto, lookup, policy
from ..base_models import AbstractApiKey
from ..conf import conf
from ..credentials import API_KEY_MAX_LENGTH, Credential
from ..crypto import Secret
from ..exceptions import Mistake, Reason, Refused
from ..lookup import Columns, Found
from ..redaction import redacted
from ..signals import secret_replayed
from ..types import User
from ..waiting import MustWait
from . import access_tokens
from .access_tokens import AccessToken
from .request import DEFAULT_SOURCE, RequestInfo


class Auth(Protocol):
    """What becomes ``request.auth``: the API key, or the OAuth 2 server's own access token."""

    @property
    def user(self) -> User: ...


class Verifiable(Protocol):
    """What the decision reads of an API key or an access token once the secret is correct."""

    @property
    def auth(self) -> Auth: ...

    @property
    def user(self) -> User | None: ...

    @property
    def api_key(self) -> str: ...

    @property
    def allowed_ips(self) -> Collection[str]: ...

    @property
    def read_only(self) -> bool: ...

    @property
    def is_revoked(self) -> bool: ...

    @property
    def is_disabled(self) -> bool: ...

    @property
    def is_scoped(self) -> bool: ...

    def is_expired(self, now: datetime) -> bool: ...

    def opens(self, required: Collection[str]) -> bool: ...


class PresentedKey:
    """An API key and its secret, as a request presents them."""

    def __init__(self, credential: Credential) -> None:
        self.label = credential.api_key
        self.secret = credential.api_secret
        self.from_browser = credential.scheme == "basic"
        self._found: Found | None = None
        # The column that the secret matched.
        self._slot: str
        # The digests that the secret was compared with, and the result.
        self._digests: tuple[str, str] | None = None
        self._matches: tuple[bool, bool]

    def look_up(self, info: RequestInfo) -> bool:
        """Look the key up. Return whether there is such a key."""
        model = lookup.source_model(info.source)
        if model is None:
            mistake = Mistake.UNKNOWN_SOURCE
            raise Refused(Reason.INVALID_CREDENTIALS, api_key=self.label, mistake=mistake)
        self._found = lookup.find(
            model, self.label, accepts=self._matches_cached, may_wait=info.may_wait
        )
        return self._found is not None

    def matched(self, info: RequestInfo, now: datetime) -> AbstractApiKey:
        """Return the key, or refuse it. An unknown key takes as much work as a wrong secret."""
        key = self._found.key if self._found is not None else None
        current, previous = self._compare(
            key.secret_digest if key is not None else "",
            key.previous_digest if key is not None else "",
        )
        if key is None or not (current or previous):
            raise Refused(Reason.INVALID_CREDENTIALS, api_key=self.label)
        if not current and policy.has_ended(key.previous_expires_at, now):
            if conf.REVOKE_ON_REPLAY:
                if not info.may_wait:
                    raise MustWait
                secret_replayed.send_robust(sender=type(key), instance=key)
            raise Refused(Reason.INVALID_CREDENTIALS, api_key=self.label)
        self._slot = "secret_digest" if current else "previous_digest"
        return key

    def _matches_cached(self, columns: Columns) -> bool:
        """Whether the secret is a cached key's. A wrong one takes a query, as for an unknown key.

        Otherwise, a fast refusal would reveal that the key exists and was used recently.
        """
        key, _user = columns
        # A digest that a field of the project converts isn't cached.
        return any(self._compare(key.get("secret_digest", ""), key.get("previous_digest", "")))

    def _compare(self, digest: str, previous: str) -> tuple[bool, bool]:
        """Whether the secret matches each digest. Hashes only once, cached or not."""
        if self._digests != (digest, previous):
            self._digests = digest, previous
            self._matches = crypto.matches_which(self.secret, digest, previous)
        return self._matches

    def refusal(self, refused: Refused) -> Refused:
        """Return ``refused`` without a possible secret."""
        if self._found is None:
            # An unknown "API key" may be a secret in the wrong place.
            refused.api_key = redacted(refused.api_key, API_KEY_MAX_LENGTH)
        return refused

    def record_use(self, info: RequestInfo, now: datetime) -> None:
        """Record when and from where the key was used, once its secret has matched."""
        found = cast("Found", self._found)
        lookup.record_use(
            found,
            now=now,
            address=info.address,
            secret=self.secret,
            slot=self._slot,
            may_wait=info.may_wait,
        )
        if self._slot == "previous_digest":
            found.key.authenticated_by_old_secret = True


class PresentedToken:
    """What may be an access token of an installed OAuth 2 server."""

    secret = Secret()  # the label stands for the whole token
    from_browser = False

    def __init__(self, credential: Credential, *, may_be_foreign: bool = False) -> None:
        self.label = access_tokens.label(credential.access_token)
        self._token = credential.access_token
        self._mistake = credential.mistake
        self._may_be_foreign = may_be_foreign
        self._found: AccessToken | None = None

    def look_up(self, info: RequestInfo) -> bool:
        """Look the token up. Return whether an installed server issued it."""
        # A source has keys, and no access tokens.
        names_source = info.source != DEFAULT_SOURCE
        if names_source and not self._may_be_foreign:
            return False
        if not info.may_wait:
            raise MustWait
        self._found = access_tokens.find(self._token, info.request)
        if self._found is not None and names_source:
            # If this were left to the server's own class, none of our checks would run.
            self._found = replace(self._found, is_valid_here=False)
        return self._found is not None

    def matched(self, info: RequestInfo, now: datetime) -> AccessToken:
        """Return the token. Refuse one that no server issued, or that is for another service."""
        if self._found is None or not self._found.is_valid_here:
            raise Refused(Reason.INVALID_CREDENTIALS, mistake=self._mistake)
        return self._found

    def refusal(self, refused: Refused) -> Refused:
        """Return ``refused`` with the sentence for access tokens, and without the label."""
        refused.api_key = ""
        refused.access_token = True
        return refused

    def record_use(self, info: RequestInfo, now: datetime) -> None:
        """The server keeps its own records."""
