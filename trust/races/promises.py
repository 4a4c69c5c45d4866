"""What must hold after every race."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.utils import timezone

from frappe_tokens import crypto, policy
from frappe_tokens.base_models import POLICIES, AbstractApiKey
from frappe_tokens.keys import GeneratedKeys
from frappe_tokens.models import ApiKey, ApiRequestLog
from tests.sources.models import Robot

from . import LAST_WINS, NO_ERROR, NO_ORPHANS, NO_REVIVAL, NO_STALE_HIT
from .operations import DELETES, OPERATIONS, REVOKES, code_of
from .scenes import Scene, attempt
from .scheduler import Outcome

# A secret of the target isn't accepted any more once one of these has returned.
_ENDS_TARGET = {*REVOKES, *DELETES, "deactivate", "disable", "set up pair"}
_ENDS_UNNAMED = {"generate", "generate for users"}
_ENDS_ROBOT = {"revoke robot", "rotate robot", "deactivate"}

Outcomes = Mapping[str, Outcome]


def broken(scene: Scene, outcomes: Outcomes) -> Iterator[tuple[str, str]]:
    """Yield each promise that was broken, and how."""
    yield from _errors(outcomes)
    yield from _late_acceptances(scene, outcomes)
    known = [*scene.known, *_generated(scene, outcomes)]
    yield from _revivals(scene, outcomes)
    yield from _lost_secrets(scene, outcomes)
    yield from _orphans(scene, outcomes)
    # Twice: the first may fill the cache that the second reads.
    stored = [_stored(model, api_key) for model, api_key, _ in known]
    for (model, api_key, api_secret), row in [*zip(known, stored, strict=True)] * 2:
        yield from _differences(model, api_key, api_secret, row)


def _errors(outcomes: Outcomes) -> Iterator[tuple[str, str]]:
    for name, outcome in outcomes.items():
        if outcome.error is not None:
            code = code_of(outcome.error)
            if not OPERATIONS[name].may(code, {*outcomes} - {name}):
                yield NO_ERROR, f"{name}: {code}"


def _succeeded(outcomes: Outcomes, names: Any) -> dict[str, Outcome]:
    return {
        name: outcome
        for name, outcome in outcomes.items()
        if name in names and outcome.error is None
    }


def _late_acceptances(scene: Scene, outcomes: Outcomes) -> Iterator[tuple[str, str]]:
    ends = {"request": set(_ENDS_TARGET), "request of a robot": set(_ENDS_ROBOT)}
    ends["request"] |= _ENDS_UNNAMED if scene.is_unnamed else {"rotate itself"}
    if "enable" in outcomes:
        ends["request"].discard("disable")
    if "rename" in outcomes:
        ends["request"] -= _ENDS_UNNAMED
    if "change user of a robot" not in outcomes:
        ends["request of a robot"] |= {*DELETES}
    else:
        ends["request of a robot"].discard("deactivate")
    for name, by in ends.items():
        attempts = outcomes[name].result or [] if name in outcomes else []
        for one in attempts:
            for ended_by, ending in _succeeded(outcomes, by).items():
                if one.code == "accepted" and one.began > ending.ended:
                    yield NO_STALE_HIT, f"{name}: accepted after {ended_by}"


def _generated(scene: Scene, outcomes: Outcomes) -> Iterator[tuple[type[AbstractApiKey], str, str]]:
    for name, outcome in outcomes.items():
        if outcome.error is not None:
            continue
        results = outcome.result if isinstance(outcome.result, list) else [outcome.result]
        for result in results:
            if isinstance(result, GeneratedKeys):
                yield type(result.instance), result.api_key, result.api_secret
        if name == "set up pair":
            yield ApiKey, scene.target.api_key, outcome.result
        if name == "import":
            yield ApiKey, *scene.pair


def _revivals(scene: Scene, outcomes: Outcomes) -> Iterator[tuple[str, str]]:
    was_deleted = bool(_succeeded(outcomes, DELETES))
    for name, outcome in _succeeded(outcomes, (*REVOKES, "revoke robot")).items():
        keys = scene.robot if name == "revoke robot" else scene.target
        row = type(keys.instance)._base_manager.filter(pk=keys.instance.pk).first()
        if outcome.result and row is None and not was_deleted:
            yield NO_REVIVAL, f"{name}: the row is gone"
        if outcome.result and row is not None and row.revoked_at is None:
            yield NO_REVIVAL, f"{name}: the key is live again"
    for user in (scene.ada, scene.grace):
        live = ApiKey._base_manager.filter(user_id=user.pk, revoked_at__isnull=True)
        names = list(live.values_list("name", flat=True))
        if len(names) != len({*names}):
            yield NO_REVIVAL, f"live keys of one name: {sorted(names)}"
    for key in ApiKey._base_manager.all():
        if (key.live is None) != (key.revoked_at is not None):
            yield NO_REVIVAL, "a key is neither live nor revoked"


def _lost_secrets(scene: Scene, outcomes: Outcomes) -> Iterator[tuple[str, str]]:
    last: dict[tuple[type[AbstractApiKey], str], tuple[int, str, str]] = {}
    for name, outcome in outcomes.items():
        for model, api_key, api_secret in _generated(scene, {name: outcome}):
            latest = last.get((model, api_key), (0, "", ""))
            last[model, api_key] = max(latest, (outcome.committed, name, api_secret))
    for (model, api_key), (_, name, api_secret) in last.items():
        row = model._base_manager.filter(api_key=api_key).first()
        if row is None and not _succeeded(outcomes, DELETES):
            yield NO_ORPHANS, f"{name}: its key is lost"
        if row is not None and not crypto.matches(api_secret, row.secret_digest):
            yield LAST_WINS, f"{name}: committed last, and its secret doesn't work"


def _orphans(scene: Scene, outcomes: Outcomes) -> Iterator[tuple[str, str]]:
    users = {*get_user_model()._base_manager.values_list("pk", flat=True)}
    for model in (ApiKey, Robot):
        if {*model._base_manager.values_list("user_id", flat=True)} - users:
            yield NO_ORPHANS, f"a row of {model.__name__} without its user"
    for name in _succeeded(outcomes, DELETES):
        gone = {scene.ada.pk} if name == "delete user" else {scene.ada.pk, scene.grace.pk}
        if gone & users:
            yield NO_ORPHANS, f"{name}: the user is still there"
    if (
        _succeeded(outcomes, ["prune the request log"])
        and ApiRequestLog._base_manager.filter(status=200).exists()
    ):
        yield NO_ORPHANS, "rows of the request log were not deleted"


def _differences(
    model: type[AbstractApiKey], api_key: str, api_secret: str, row: Any
) -> Iterator[tuple[str, str]]:
    """Compare the decision with the row as it is stored."""
    expected = _decision(row, api_secret)
    made = attempt(model, api_key, api_secret)
    if made.code != expected:
        yield NO_STALE_HIT, f"{made.code} instead of {expected}"
    elif made.key is not None and row is not None:
        for name in ("user_id", *POLICIES):
            if getattr(made.key, name) != getattr(row, name):
                yield NO_STALE_HIT, f"an old {name}"


def _stored(model: type[AbstractApiKey], api_key: str) -> Any:
    """Return the row with its user, without the cache."""
    return model._base_manager.select_related("user").filter(api_key=api_key).first()


def _decision(row: Any, api_secret: str) -> str:
    if row is None:
        return "invalid_credentials"
    older = row.previous_digest
    if policy.has_ended(row.previous_expires_at, timezone.now()):
        older = ""
    if not any(crypto.matches_which(api_secret, row.secret_digest, older)):
        return "invalid_credentials"
    if row.revoked_at is not None:
        return "key_revoked"
    if row.disabled_at is not None:
        return "key_disabled"
    return "accepted" if row.user.is_active else "user_inactive"
