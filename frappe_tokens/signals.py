"""What the app tells others of. No argument ever holds a secret or a header.

``keys_generated``
    A key was made, or its secret replaced; sent after the commit. ``sender``: the key's model;
    ``instance``: the key; ``rotated``: whether it was there before; ``by``: the user who asked, or
    None for trusted code such as a command.

``key_revoked``
    A key was revoked; sent after the commit. ``sender``, ``instance`` and ``by`` as above;
    ``reason``: why, in words.

``authentication_succeeded``
    A request goes on as a key's user. ``sender``: the key's model; ``instance``: the key, its
    ``user`` loaded; ``address``: the client's, "" if unknown; ``method`` and ``path`` of the
    request, without the query.

``authentication_failed``
    A request with a credential was refused. ``sender``: None; ``code``: why, as in the answer;
    ``api_key``: as it was presented, "" unless well formed; ``address``, ``method``, ``path``.

Receivers are called in the request, so they should be quick. An error of theirs is reported through
``logging`` (``django.dispatch``) and changes nothing.
"""

from django.dispatch import Signal

keys_generated = Signal()
key_revoked = Signal()
authentication_succeeded = Signal()
authentication_failed = Signal()
