"""The app's signals. Their arguments contain neither secrets nor headers.

``keys_generated``
    A key was generated, or its secret replaced; sent after the commit. ``sender``: the key's model;
    ``instance``: the key; ``rotated``: whether it existed before; ``by``: the user who did it, or
    None for trusted code such as a command.

``key_revoked``
    A key was revoked; sent after the commit. ``sender``, ``instance`` and ``by`` as above;
    ``reason``: why, in words.

``key_disabled``, ``key_enabled``
    A key was disabled, or enabled again; sent after the commit. ``sender``, ``instance`` and
    ``by`` as above.

``key_expiring``, ``key_unused``
    ``manage.py notify_keys`` is about to mail the key's user that it expires soon, or is unused.
    ``sender`` and ``instance`` as above, with its ``user`` loaded. If the mail fails, the signal is
    sent again by the next run. A key that expires within a day has its second ``key_expiring``.

``authentication_succeeded``
    A request was accepted and runs as the key's user. ``sender``: the key's model; ``instance``:
    the key, with its ``user`` loaded; ``address``: the client's, "" if unknown; ``method`` and
    ``path`` of the request, without the query string.

``authentication_failed``
    A request with a credential was refused. ``sender``: None; ``code``: the reason, as in the
    response; ``api_key``: as it was presented, "" unless well formed; ``address``, ``method``,
    ``path``.

Receivers are called during the request, so they should be fast. Their errors are logged (by
``django.dispatch``). Their return values are ignored.

Two are for the app itself: ``keys_updated`` (a queryset has updated keys, so the cache is
invalidated), and ``secret_replayed`` (a request presented a replaced secret after its end).
"""

from django.dispatch import Signal

keys_generated = Signal()
key_revoked = Signal()
key_disabled = Signal()
key_enabled = Signal()
key_expiring = Signal()
key_unused = Signal()
authentication_succeeded = Signal()
authentication_failed = Signal()
keys_updated = Signal()
secret_replayed = Signal()
