"""What runs at the same time, and which refusals of it another operation may cause."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone

from frappe_tokens import crypto
from frappe_tokens.keys import (
    Actor,
    ImportedPair,
    change_key,
    change_user,
    create_key,
    disable,
    enable,
    generate_keys,
    generate_keys_for_source,
    generate_keys_for_users,
    import_keys,
    revoke,
    revoke_leaked,
    rotate_itself,
    set_up_pair,
)
from frappe_tokens.request_log.pruning import delete_in_batches, old_rows

from .scenes import Attempt, Scene, attempt

HOUR = timedelta(hours=1)
REQUESTS = 3


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that users, administrators or programs do.

    Attributes:
        may_fail: by the code of a refusal, the names of the operations that may cause it.
    """

    name: str
    run: Callable[[Scene], Any]
    may_fail: dict[str, frozenset[str]] = field(default_factory=dict)

    def may(self, code: str, others: Iterable[str]) -> bool:
        return bool(self.may_fail.get(code, frozenset()) & {*others})


OPERATIONS: dict[str, Operation] = {}

DELETES = ("delete user", "delete users")
REVOKES = ("revoke", "revoke leaked")
# They give the target, or the unnamed key of the same user, another secret.
ROTATES = ("generate", "rotate", "generate for users", "set up pair", "rotate itself")
TAKE_NAME = ("create", "rename", "import")

_INACTIVE = {"user_inactive": ("deactivate",)}
_NO_USER = {"no_user": DELETES, **_INACTIVE}
_DISABLED = {"key_disabled": ("disable",)}
_NO_KEY = {"no_key": DELETES}
_REVOKED = {"key_revoked": REVOKES}


def operation(
    name: str, *may_fail: dict[str, tuple[str, ...]]
) -> Callable[[Callable[[Scene], Any]], Callable[[Scene], Any]]:
    def register(run: Callable[[Scene], Any]) -> Callable[[Scene], Any]:
        codes: dict[str, frozenset[str]] = {}
        for causes in may_fail:
            for code, names in causes.items():
                codes[code] = codes.get(code, frozenset()) | {*names}
        OPERATIONS[name] = Operation(name, run, codes)
        return run

    return register


def code_of(error: Exception) -> str:
    """Return the code of a documented refusal; for any other error, its class and text."""
    if isinstance(error, ValidationError):
        fields = getattr(error, "error_dict", None)
        errors = (
            [each for found in fields.values() for each in found] if fields else error.error_list
        )
        return str(errors[0].code or "no code")
    if isinstance(error, PermissionDenied):
        return "denied"
    # Django's own, for save(update_fields=...) of a row that was deleted.
    if "did not affect any rows" in str(error):
        return "not_updated"
    return f"{type(error).__name__}: {error}"


@operation("generate", _NO_USER, _DISABLED)
def _generate(scene: Scene) -> Any:
    return generate_keys(scene.user(scene.ada))


@operation("rotate", _NO_USER, _DISABLED)
def _rotate(scene: Scene) -> Any:
    name = scene.target.instance.name  # type: ignore[attr-defined]
    return generate_keys(scene.user(scene.ada), name=name, grace=HOUR, by=Actor(scene.root))


@operation("generate for users", _NO_USER, _DISABLED)
def _generate_for_users(scene: Scene) -> Any:
    users = [scene.grace, scene.ada]
    return generate_keys_for_users(users, by=Actor(scene.root))


@operation("generate for another", {"no_user": ("delete users",)})
def _generate_for_another(scene: Scene) -> Any:
    return generate_keys(scene.user(scene.grace), name=scene.new_name, by=Actor(scene.root))


@operation("create", _NO_USER, {"name_taken": TAKE_NAME})
def _create(scene: Scene) -> Any:
    return create_key(scene.user(scene.ada), name=scene.new_name)


@operation("import", dict.fromkeys(("changed", "no code"), (*TAKE_NAME, *DELETES, "deactivate")))
def _import(scene: Scene) -> Any:
    api_key, api_secret = scene.pair
    return import_keys([ImportedPair(1, "ada", api_key, api_secret, scene.new_name)])


@operation("set up pair", _NO_USER, _DISABLED, _REVOKED, {"name": ("rename",), "changed": DELETES})
def _set_up_pair(scene: Scene) -> Any:
    name = scene.target.instance.name  # type: ignore[attr-defined]
    secret = crypto.generate_api_secret()
    set_up_pair(scene.user(scene.ada), scene.target.api_key, secret, name=name)
    return secret


@operation("rotate itself", _NO_KEY, _INACTIVE, _DISABLED, _REVOKED, {"denied": ROTATES})
def _rotate_itself(scene: Scene) -> Any:
    return rotate_itself(scene.loaded(scene.named))


@operation("revoke")
def _revoke(scene: Scene) -> Any:
    return revoke(scene.loaded(scene.target), reason="a race", by=Actor(scene.root))


@operation("revoke leaked")
def _revoke_leaked(scene: Scene) -> Any:
    return revoke_leaked(scene.target.api_key, scene.target.api_secret)


@operation("disable", _NO_KEY, _REVOKED)
def _disable(scene: Scene) -> Any:
    return disable(scene.loaded(scene.target))


@operation("enable", _NO_KEY, _REVOKED)
def _enable(scene: Scene) -> Any:
    return enable(scene.loaded(scene.target))


@operation("change", _NO_KEY, _REVOKED)
def _change(scene: Scene) -> Any:
    change_key(
        scene.loaded(scene.target), by=Actor(scene.root), read_only=True, rate_limit="9/minute"
    )


@operation("rename", _NO_KEY, _REVOKED, {"no code": TAKE_NAME})
def _rename(scene: Scene) -> Any:
    change_key(scene.loaded(scene.target), name=scene.new_name)


@operation(
    "change user of a robot",
    _NO_KEY,
    _INACTIVE,
    {"no_user": ("delete users",), "key_revoked": ("revoke robot",)},
)
def _change_user(scene: Scene) -> Any:
    change_user(scene.loaded(scene.robot), scene.user(scene.grace), by=Actor(scene.root))


@operation("rotate robot", _NO_KEY, _INACTIVE, {"key_revoked": ("revoke robot",)})
def _rotate_robot(scene: Scene) -> Any:
    return generate_keys_for_source(scene.loaded(scene.robot))


@operation("revoke robot")
def _revoke_robot(scene: Scene) -> Any:
    return revoke(scene.loaded(scene.robot))


@operation("delete user")
def _delete_user(scene: Scene) -> Any:
    return scene.user(scene.ada).delete()


@operation("delete users")
def _delete_users(scene: Scene) -> Any:
    both = get_user_model()._default_manager.filter(pk__in=[scene.ada.pk, scene.grace.pk])
    return both.order_by("-pk").delete()


@operation("deactivate", {"not_updated": DELETES})
def _deactivate(scene: Scene) -> Any:
    user = scene.user(scene.ada)
    user.is_active = False
    user.save(update_fields=["is_active"])


@operation("prune the request log")
def _prune(scene: Scene) -> Any:
    return sum(delete_in_batches(old_rows(timezone.now() - timedelta(days=1)), 2))


@operation("request")
def _request(scene: Scene) -> list[Attempt]:
    keys = scene.target
    return [attempt(type(keys.instance), keys.api_key, keys.api_secret) for _ in range(REQUESTS)]


@operation("request of a robot")
def _request_of_robot(scene: Scene) -> list[Attempt]:
    keys = scene.robot
    return [attempt(type(keys.instance), keys.api_key, keys.api_secret) for _ in range(REQUESTS)]
