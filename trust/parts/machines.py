"""Three app servers behind nginx, with replicas that lag behind, and fail-overs under load."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from ..machines.ground import machines, missing
from ..machines.load import OUTSTANDING, RATE, Asked
from ..machines.servers import LAG
from ..machines.trial import BEYOND, FULL_SERVICE, LIMIT, FailOver, Trial, attempt
from ..report import Report, Row

SEED = 20_27

# By the change that decides about a request.
PROMISES = {
    "made": "A new key is good at all three servers at once, with a replica that is seconds behind",
    "rotated": "A rotated key's new secret is good everywhere at once",
    "switched on": "The keys of a user who is activated again are good everywhere at once",
    "unchanged": "A key that nobody changed is always good",
    "revoked": "A revoked key is refused everywhere at the next request",
    "replaced": "A rotated key's old secret is refused everywhere at the next request",
    "switched off": "The keys of a deactivated user are refused everywhere at the next request",
    "wrong": "A wrong secret never gets in",
}
# Without CACHE, when the lookup still asked the router where to read.
FOUND = {
    "made": "40 of 46: 401 until the replica had the key",
    "rotated": "35 of 41: 401 until the replica had the secret",
    "switched on": "64 of 86: 401 until the replica had the change",
    "revoked": "15 of 21: 200 until the replica had the change",
    "replaced": "43 of 69: 200 until the replica had the change",
    "switched off": "57 of 57: 200 until the replica had the change",
}


def run(*, quick: bool) -> Report:
    report = Report("Many machines")
    if lacking := missing():
        report.notes.append(f"Nothing was tried: {', '.join(lacking)} not installed here.")
        return report
    rng, seconds = random.Random(SEED), 3 if quick else 15
    trials = []
    for cached in (False, True):
        with machines(cached=cached) as ground:
            trials.append(asyncio.run(attempt(ground, rng, seconds, cached=cached)))
        print(f"  {_name(trials[-1])}: {len(trials[-1].asked):,} requests", flush=True)
    report.rows += _rows(trials)
    report.notes += [_table(trials), _what_was_tried(trials), *islice(_wrong_answers(trials), 20)]
    return report


def _rows(trials: list[Trial]) -> list[Row]:
    asked = [each for trial in trials for each in trial.asked]
    ends = [(trial, end) for trial in trials for end in (trial.redis, trial.postgresql)]
    served = [each for each in asked if each.status == 503]
    reads = [
        each
        for trial in trials
        for each in trial.asked
        if each.from_replica is not None and each.ended < trial.postgresql.lost_at
    ]
    accepted = [each for each in asked if each.status == 200]
    counted = [count for trial in trials for count in trial.counted]
    changes, refused = (sum(t.changes for t in trials), sum(len(t.refused_changes) for t in trials))
    last = [each for trial in trials for each in trial.last]

    def row(promise: str, tried: Iterable[Asked], broken: Iterable[Asked]) -> Row:
        return Row(promise, len([*tried]), len([*broken]), f"seed {SEED}")

    return [
        *(_decided(asked, kind) for kind in PROMISES),
        row("A good credential runs as its own user", accepted, filter(_is_another, accepted)),
        row(
            "Every request is answered, and none with 500, 502 or 504",
            asked,
            (each for each in asked if each.status in (0, 500, 502, 504)),
        ),
        row(
            "503 is answered only while PostgreSQL is replaced",
            asked,
            (each for trial in trials for each in trial.outages()),
        ),
        row("Each 503 has Retry-After", served, (each for each in served if not each.retry_after)),
        Row("A change is made, or answered 503", changes + refused, refused),
        Row(
            "After a fail-over, full service within five seconds",
            len(ends),
            sum(trial.recovery(end) > FULL_SERVICE for trial, end in ends),
        ),
        row(
            "After both fail-overs, all changes count that were answered before or after",
            last,
            (each for each in last if each.is_wrong),
        ),
        Row(
            f"Failures at three servers count together: {LIMIT} times 401, and then 429",
            len(counted),
            sum(count != {401: LIMIT, 429: BEYOND} for count in counted),
        ),
        row(
            "What doesn't decide about requests is read from the replica",
            reads,
            (each for each in reads if not each.from_replica),
        ),
    ]


def _decided(asked: Iterable[Asked], kind: str) -> Row:
    decided = [(each, each.expected) for each in asked if each.status != 503]
    tried = [(each, right) for each, right in decided if right is not None and right.kind == kind]
    wrong = [each for each, right in tried if each.is_wrong and each.status]
    return Row(PROMISES[kind], len(tried), len(wrong), f"seed {SEED}", FOUND.get(kind, ""))


def _wrong_answers(trials: list[Trial]) -> Iterator[str]:
    """Say what was answered wrongly, and how long after which fail-over."""
    for trial in trials:
        for asked in trial.asked:
            if asked.status in (500, 502, 504) or (asked.is_wrong and asked.status != 503):
                kind = asked.expected.kind if asked.expected else "during a change"
                yield (
                    f"{_name(trial)}: {kind}: {asked.status or 'no answer'} after "
                    f"{asked.ended - asked.began:.2f} s, begun "
                    f"{asked.began - trial.redis.lost_at:+.2f} s from the loss of Redis and "
                    f"{asked.began - trial.postgresql.lost_at:+.2f} s from that of PostgreSQL."
                )


def _is_another(asked: Asked) -> bool:
    return asked.user != asked.credential.username


def _name(trial: Trial) -> str:
    return "with `CACHE`" if trial.cached else "without `CACHE`"


def _table(trials: list[Trial]) -> str:
    lines = [
        "| Site | Fail-over | Replaced after | Good, until then | Slowest | Full service after |",
        "|---|---|---:|---|---:|---:|",
    ]
    for trial in trials:
        for title, end in (("Redis", trial.redis), ("PostgreSQL", trial.postgresql)):
            good = [each for each in trial.during(end.lost_at, end) if _is_good(each)]
            slowest = max(each.ended - each.began for each in good)
            lines.append(
                f"| {_name(trial)} | {title} | {end.replaced_at - end.lost_at:.1f} s"
                f" | {_statuses(good, end)} | {slowest:.1f} s | {trial.recovery(end):.1f} s |"
            )
    return "\n".join(lines)


def _is_good(asked: Asked) -> bool:
    right = asked.expected
    return right is not None and right.is_good


def _statuses(asked: Iterable[Asked], end: FailOver) -> str:
    count = Counter(each.status for each in asked if each.began < end.replaced_at)
    return ", ".join(f"{number:,} x {status or 'none'}" for status, number in count.items())


def _what_was_tried(trials: list[Trial]) -> str:
    lags = " and ".join(f"{trial.lag:.1f}" for trial in trials)
    rates = " and ".join(f"{trial.rate:.0f}" for trial in trials)
    return (
        f"Up to {RATE} requests a second through nginx to three gunicorns (2 workers of 4 threads "
        f"each). None was sent while {OUTSTANDING} had no answer, so on average it was {rates} a "
        f"second. After each of {sum(trial.changes for trial in trials):,} changes, one more went "
        f"to each server. The standby showed what was {lags} seconds old (it waits {LAG}), and "
        "was sent each commit before it was answered. The replica of Redis learned of nothing in "
        "the last seconds before its master was lost together with one of three sentinels. "
        f"Others used the two cores too (load average {os.getloadavg()[1]:.0f})."
    )
