"""Making, rotating, changing and revoking keys: the only place that writes credentials.

Every way in (admin, commands, RPC, REST, a user's own page) calls these functions. Who may do what
to whom is decided in :mod:`frappe_tokens.actors`, which they ask.
"""

from ..terms import GeneratedKeys
from .changes import change_key
from .generation import (
    BATCH_SIZE,
    generate_keys,
    generate_keys_for_source,
    generate_keys_for_users,
)
from .import_checks import ImportedPair, Problem
from .importing import Imported, import_keys
from .ownership import change_user
from .revocation import revoke, revoke_leaked

__all__ = [
    "BATCH_SIZE",
    "GeneratedKeys",
    "Imported",
    "ImportedPair",
    "Problem",
    "change_key",
    "change_user",
    "generate_keys",
    "generate_keys_for_source",
    "generate_keys_for_users",
    "import_keys",
    "revoke",
    "revoke_leaked",
]
