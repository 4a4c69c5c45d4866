"""Why a request is refused."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from typing_extensions import Self


class Reason(enum.Enum):
    """Why a request was refused.

    That is the stable ``code`` on the wire, the HTTP status, a short label for lists and charts,
    and the sentence for the client.
    """

    MALFORMED_CREDENTIALS = (
        "malformed_credentials",
        401,
        _("Malformed credentials"),
        _("The Authorization header contains no valid credentials. Send <api_key>:<api_secret>."),
    )
    TOO_MANY_FAILURES = (
        "too_many_failures",
        429,
        _("Too many failures"),
        _("Too many failed attempts. Check the API key and API secret, then try again later."),
    )
    INVALID_CREDENTIALS = (
        "invalid_credentials",
        401,
        _("Wrong secret"),
        _("Invalid API key or API secret. Check that the token belongs to this site."),
    )
    KEY_REVOKED = (
        "key_revoked",
        401,
        _("Key revoked"),
        _("This API key has been revoked. Ask for a new one."),
    )
    KEY_DISABLED = (
        "key_disabled",
        401,
        _("Key disabled"),
        _("This API key is disabled. Ask for it to be enabled."),
    )
    KEY_EXPIRED = (
        "key_expired",
        401,
        _("Key expired"),
        _("This API key has expired. Ask for a later expiry or a new key."),
    )
    USER_INACTIVE = (
        "user_inactive",
        401,
        _("User inactive"),
        _("The user of this API key is inactive."),
    )
    IP_NOT_ALLOWED = (
        "ip_not_allowed",
        403,
        _("Address not allowed"),
        _("This API key can't be used from your address."),
    )
    KEY_READ_ONLY = (
        "key_read_only",
        403,
        _("Key is read-only"),
        _("This API key is read-only. Use GET, HEAD or OPTIONS."),
    )
    CROSS_SITE_REQUEST = (
        "cross_site_request",
        403,
        _("Sent by another site"),
        _(
            "A page of another site made your browser send this request. "
            "Send it from this site, or with the token scheme."
        ),
    )
    SESSION_REQUIRED = (
        "session_required",
        403,
        _("Sign-in required"),
        _("This page doesn't accept API keys or access tokens. Sign in with a browser instead."),
    )
    INSUFFICIENT_SCOPE = (
        "insufficient_scope",
        403,
        _("Scope missing"),
        _("This API key doesn't have the scopes that this view requires."),
    )
    SERVICE_UNAVAILABLE = (
        "service_unavailable",
        503,
        _("Service unavailable"),
        _("Credentials can't be checked right now. Try again shortly."),
    )

    code: str
    status: int
    label: Promise
    sentence: Promise

    def __new__(cls, code: str, status: int, label: Promise, sentence: Promise) -> Self:
        member = object.__new__(cls)
        # Not the texts: Enum hashes values, which would translate them before apps are loaded.
        member._value_ = member.code = code
        member.status = status
        member.label = label
        member.sentence = sentence
        return member


class Mistake(enum.Enum):
    """What a client probably did wrong, judging by the request alone: the sentence about it.

    It replaces the sentence of the reason, but not its code.
    """

    NO_TOKEN_SCHEME = _(
        "The Authorization header has no scheme. Send: Authorization: token <api_key>:<api_secret>."
    )
    NO_BASIC_SCHEME = _(
        "The Authorization header has no scheme. "
        "Send: Authorization: Basic base64(<api_key>:<api_secret>)."
    )
    NO_BEARER_SCHEME = _(
        "The Authorization header has no scheme. "
        "Send: Authorization: Bearer <api_key>:<api_secret>."
    )
    KEY_MISSING = _("The API key is missing. Send <api_key>:<api_secret>.")
    SECRET_MISSING = _("The API secret is missing. Send <api_key>:<api_secret>.")
    WRONG_ORDER = _(
        "The API key and the API secret are in the wrong order. Send <api_key>:<api_secret>."
    )
    WRONG_CHECKSUM = _(
        "The API secret is mistyped or cut off, or something follows it: its checksum is wrong."
    )
    ACCESS_TOKEN_TOO_LONG = _("The access token is too long. The limit is 4,096 characters.")
    UNKNOWN_SOURCE = _(
        "The Frappe-Authorization-Source header doesn't name a source of this site. "
        "Leave it out for a user's API key."
    )

    sentence: Promise

    def __new__(cls, sentence: Promise) -> Self:
        member = object.__new__(cls)
        member._value_ = len(cls.__members__)
        member.sentence = sentence
        return member


# The sentences of reasons for OAuth 2 access tokens.
_ACCESS_TOKEN_SENTENCES = {
    Reason.TOO_MANY_FAILURES: _(
        "Too many failed attempts. Check the access token, then try again later."
    ),
    Reason.INVALID_CREDENTIALS: _("Invalid access token."),
    Reason.KEY_REVOKED: _("This access token has been revoked. Ask for a new one."),
    Reason.KEY_EXPIRED: _("This access token has expired. Refresh it, or ask for a new one."),
    Reason.USER_INACTIVE: _("The user of this access token is inactive."),
    Reason.KEY_READ_ONLY: _("This access token is read-only. Use GET, HEAD or OPTIONS."),
    Reason.INSUFFICIENT_SCOPE: _(
        "This access token doesn't have the scopes that this view requires."
    ),
}


class Refused(Exception):
    """A request is refused.

    Args:
        reason: why.
        api_key: the presented API key if it was well formed, else "". Never the secret.
        required_scopes: the scopes that the view requires, if that is the reason.
        retry_after: seconds after which to try again; None if waiting doesn't help.
        access_token: whether the credential was an OAuth 2 access token.
        mistake: what the client probably did wrong, if known.
    """

    def __init__(
        self,
        reason: Reason,
        *,
        api_key: str = "",
        required_scopes: tuple[str, ...] = (),
        retry_after: int | None = None,
        access_token: bool = False,
        mistake: Mistake | None = None,
    ) -> None:
        super().__init__(reason.code)
        self.reason = reason
        self.api_key = api_key
        self.required_scopes = required_scopes
        self.retry_after = retry_after
        self.access_token = access_token
        self.mistake = mistake

    @property
    def sentence(self) -> Promise:
        """The explanation for the client."""
        if self.mistake is not None:
            return self.mistake.sentence
        own = self.reason.sentence
        return _ACCESS_TOKEN_SENTENCES.get(self.reason, own) if self.access_token else own
