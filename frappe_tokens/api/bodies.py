"""Checks the body of a request before it is read."""

from __future__ import annotations

import codecs

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.views import APIView

# More than any of the app's own URLs needs (bytes).
MAX_BYTES = 64 * 1024

# Python's names. Other encodings decompress (bz2_codec), take quadratic time (punycode) or raise
# their own errors (idna).
_ENCODINGS = frozenset({"ascii", "iso8859-1", "utf-8"})


def check_body(request: HttpRequest, max_bytes: int | None = None) -> None:
    """Raise SuspiciousOperation for a body that is too large or not text, without reading it.

    Without ``max_bytes``, the limit is ``DATA_UPLOAD_MAX_MEMORY_SIZE``, except for file uploads.
    """
    if request.encoding and codecs.lookup(request.encoding).name not in _ENCODINGS:
        raise SuspiciousOperation(_("The charset must be UTF-8, ISO-8859-1 or US-ASCII."))
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = -1
    # Without a length, servers and frameworks read an empty body, and options such as "read_only"
    # would be ignored.
    if length < 0 or "HTTP_TRANSFER_ENCODING" in request.META or (not length and request.body):
        raise SuspiciousOperation(_("Send the body with a Content-Length header."))
    limit: int | None = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if max_bytes is not None:
        limit = max_bytes if limit is None else min(limit, max_bytes)
    elif request.content_type == "multipart/form-data":
        return  # Django limits the fields itself
    if limit is not None and length > limit:
        raise RequestDataTooBig(_("The body must not exceed %(limit)d bytes.") % {"limit": limit})


class CheckedBodyMixin(APIView):
    """Checks the body of a request first. Put it before DRF's view class."""

    max_body_bytes: int | None = None  # see check_body()

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        check_body(request._request, self.max_body_bytes)
        super().initial(request, *args, **kwargs)
