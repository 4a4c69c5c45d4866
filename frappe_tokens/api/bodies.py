"""What is asked of a request before its body, its form or its query is read."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.request import Request

# None of the app's own addresses needs more (bytes).
MAX_BYTES = 64 * 1024

# By Python's names for them. Among the others are some that unpack (bz2_codec), some that take
# time by the square of the length (punycode), and some that raise errors of their own (idna).
_ENCODINGS = frozenset({"ascii", "iso8859-1", "utf-8"})

_MULTIPART = "multipart/form-data"


def check_body(request: HttpRequest, max_bytes: int | None = None) -> None:
    """Refuse a request whose body is too large or cannot be read as text. Reads none of it.

    Args:
        request: Django's own.
        max_bytes: how large the body may be. None leaves it at ``DATA_UPLOAD_MAX_MEMORY_SIZE``,
            which does not count what is uploaded as files.

    Raises:
        SuspiciousOperation: with a sentence for the client.
    """
    if request.encoding and codecs.lookup(request.encoding).name not in _ENCODINGS:
        raise SuspiciousOperation(_("The charset must be UTF-8, ISO-8859-1 or US-ASCII."))
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = -1
    # Without a length, servers and frameworks take a body for empty: what it asks for (a key that
    # may only read) would be left out.
    if length < 0 or "HTTP_TRANSFER_ENCODING" in request.META or (not length and request.body):
        raise SuspiciousOperation(_("Send the body with a Content-Length header."))
    limit: int | None = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if max_bytes is not None:
        limit = max_bytes if limit is None else min(limit, max_bytes)
    elif request.content_type == _MULTIPART:
        return  # Django counts the fields by itself
    if limit is not None and length > limit:
        raise RequestDataTooBig(_("The body must not exceed %(limit)d bytes.") % {"limit": limit})


if TYPE_CHECKING:
    from rest_framework.views import APIView as _Base
else:
    _Base = object


class CheckedBodyMixin(_Base):
    """Put it before ``APIView``: checks the body before anything else is asked of a request.

    Attributes:
        max_body_bytes: see :func:`check_body`.
    """

    max_body_bytes: int | None = None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        check_body(request._request, self.max_body_bytes)
        super().initial(request, *args, **kwargs)
