"""Manages keys: generates, rotates, changes, imports and revokes them. Nothing else writes them.

The admin, the commands, RPC, REST and the users' own page call these functions, and
:class:`Actor` decides for all of them who may do what to whose keys.
"""

from .actors import (
    BEYOND_RIGHTS,
    RESTRICTED,
    Actor,
    check_manager,
    check_reach,
    check_target,
)
from .changes import change_key, change_user, check_as_new
from .csv_rows import as_json, csv_row, shown_fields
from .deletion import connect as connect_deletion
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
    find_visible_user,
    lock_active_users,
    lock_rows,
    lock_users,
    locked_key,
    outside_atomic_requests,
    transaction_for,
)
from .mail import address_of
from .notices import (
    UNUSED,
    DueNotices,
    Notice,
    expiring_within,
    prune_notices,
    send_notices,
    unused_for,
)
from .number import check_number
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
from .replays import connect as connect_replays
from .requests import UNKNOWN, credential_of
from .revocation import disable, enable, revoke, revoke_leaked
from .self_rotation import rotate_itself
from .teams import led_by

__all__ = [
    "BATCH_SIZE",
    "BEYOND_RIGHTS",
    "GRACE_MAX",
    "RESTRICTED",
    "UNKNOWN",
    "UNUSED",
    "Actor",
    "DueNotices",
    "GeneratedKeys",
    "ImportedPair",
    "Notice",
    "Options",
    "PairResult",
    "Plan",
    "Problem",
    "address_of",
    "allow_application",
    "as_json",
    "change_key",
    "change_user",
    "check_as_new",
    "check_manager",
    "check_number",
    "check_reach",
    "check_target",
    "clean_changes",
    "clean_description",
    "clean_expiry",
    "clean_grace",
    "clean_metadata",
    "clean_name",
    "connect_deletion",
    "connect_replays",
    "create_key",
    "credential_of",
    "csv_row",
    "default_expiry",
    "disable",
    "enable",
    "expiring_within",
    "find_user",
    "find_visible_user",
    "generate_keys",
    "generate_keys_for_source",
    "generate_keys_for_users",
    "import_keys",
    "is_application_allowed",
    "led_by",
    "lock_active_users",
    "lock_rows",
    "lock_users",
    "locked_key",
    "outside_atomic_requests",
    "plan_for",
    "plan_for_row",
    "prune_notices",
    "revoke",
    "revoke_leaked",
    "rotate_itself",
    "send_notices",
    "set_up_pair",
    "shown_fields",
    "transaction_for",
    "unused_for",
    "version_for_new_key",
    "withdraw_application",
]
