"""What clients get that fail again and again: the same, whether or not there is such a key."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from .client import Client
from .kinds import MAIN, UNKNOWN

NUMBER, KEYS = 5, 5
# Not by the minute, so that no new period begins meanwhile.
LIMIT = f"{NUMBER}/day"
# The seconds until the next period.
_RETRY_AFTER = re.compile(rb"Retry-After: \d+", re.IGNORECASE)

Responses = tuple[bytes, ...]


def tried(
    client: Client, api_keys: dict[str, list[str]], rng: random.Random
) -> Iterator[tuple[Responses, Responses]]:
    """Fail more often than ``LIMIT`` allows, with each kind of key.

    Yield the responses, and those for an unknown key that was tried in the same way: first with
    other secrets each time, then with one secret.
    """
    for number in range(KEYS):
        for repeats in (1, NUMBER + 2):
            # Another key than before: failures are counted by key.
            index = 2 * number + (repeats > 1)
            by_kind: dict[str, Responses] = {}
            for kind in MAIN:
                responses: list[bytes] = []
                while len(responses) < NUMBER + 2:
                    request = kind.request(api_keys[kind.name][index], kind.api_secret(rng))
                    responses += [
                        _RETRY_AFTER.sub(b"", client.send(request)[1]) for _ in range(repeats)
                    ]
                by_kind[kind.name] = tuple(responses)
            expected = by_kind.pop(UNKNOWN.name)
            for found in by_kind.values():
                yield found, expected


def is_limited(responses: Responses) -> bool:
    """Whether the limit was reached when it should be."""
    statuses = [int(response.split()[1]) for response in responses]
    return statuses == [401] * NUMBER + [429] * 2
