"""Manages keys: generates, rotates, changes, imports and revokes them. Nothing else writes them.

The admin, the commands, RPC, REST and the users' own page call these functions. :class:`Actor`
decides who may do what to whose keys, and they all ask it.
"""

from .actors import (
    BEYOND_RIGHTS,
    RESTRICTED,
    UNKNOWN,
    Actor,
    check_manager,
    check_reach,
    check_target,
    credential_of,
)
from .changes import change_key, change_user
from .generation import (
    BATCH_SIZE,
    GeneratedKeys,
    create_key,
    generate_keys,
    generate_keys_for_source,
    generate_keys_for_users,
)
from .import_checks import ImportedPair, Problem
from .importing import import_keys
from .locking import (
    find_user,
    lock_active_users,
    lock_rows,
    lock_users,
    locked_key,
    outside_atomic_requests,
    transaction_for,
)
from .oauth_applications import (
    allow_application,
    is_application_allowed,
    withdraw_application,
)
from .options import (
    GRACE_MAX,
    Options,
    clean_changes,
    clean_description,
    clean_expiry,
    clean_grace,
    clean_metadata,
    clean_name,
    default_expiry,
)
from .pairs import PairResult, set_up_pair
from .plans import Plan, plan_for, plan_for_row, version_for_new_key
from .revocation import disable, enable, revoke, revoke_leaked

__all__ = [
    "BATCH_SIZE",
    "BEYOND_RIGHTS",
    "GRACE_MAX",
    "RESTRICTED",
    "UNKNOWN",
    "Actor",
    "GeneratedKeys",
    "ImportedPair",
    "Options",
    "PairResult",
    "Plan",
    "Problem",
    "allow_application",
    "change_key",
    "change_user",
    "check_manager",
    "check_reach",
    "check_target",
    "clean_changes",
    "clean_description",
    "clean_expiry",
    "clean_grace",
    "clean_metadata",
    "clean_name",
    "create_key",
    "credential_of",
    "default_expiry",
    "disable",
    "enable",
    "find_user",
    "generate_keys",
    "generate_keys_for_source",
    "generate_keys_for_users",
    "import_keys",
    "is_application_allowed",
    "lock_active_users",
    "lock_rows",
    "lock_users",
    "locked_key",
    "outside_atomic_requests",
    "plan_for",
    "plan_for_row",
    "revoke",
    "revoke_leaked",
    "set_up_pair",
    "transaction_for",
    "version_for_new_key",
    "withdraw_application",
]
