"""The request log as a stream in Redis, from which a consumer stores it where it likes."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from threading import Lock

from django.core.exceptions import ImproperlyConfigured
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ..request_log import BatchSink, Entry

SECONDS = 3  # for which a batch waits for Redis, less than a process waits for it at its end

# Appends what isn't in the stream yet: if only a reply was lost, its batch comes again, perhaps
# with more entries after it. Redis knows for a day how far each process got.
# KEYS: the stream, and how far this process got. ARGV: the process, the number of the first entry,
# the length at which the stream is trimmed or 0, and for each entry its number of strings and them.
_APPEND = """
local got_to = tonumber(redis.call('GET', KEYS[2]) or 0)
local number, at, trimmed = tonumber(ARGV[2]), 4, 0
while at <= #ARGV do
    local last = at + tonumber(ARGV[at])
    if number > got_to then
        local id = ARGV[1] .. '-' .. string.format('%d', number)
        redis.call('XADD', KEYS[1], '*', 'entry_id', id, unpack(ARGV, at + 1, last))
    end
    number, at = number + 1, last + 1
end
redis.call('SET', KEYS[2], number - 1, 'EX', 86400)
if ARGV[3] ~= '0' then
    trimmed = redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[3])
end
return trimmed
"""


class RedisStreamSink(BatchSink):
    """Appends to a stream. Subclass it to set ``url``, and name the subclass in ``REQUEST_LOG``.

    Attributes:
        url: of Redis, as in Django's cache.
        stream: the key of the stream.
        maxlen: about how many entries the stream keeps. The oldest ones beyond it are lost. None
            keeps all of them. A consumer must delete what it has stored.
    """

    url = ""
    stream = "frappe_tokens:request_log"
    maxlen: int | None = 1_000_000

    def connect(self) -> Redis:
        """Return the client, which connects later."""
        if not self.url:
            raise ImproperlyConfigured(
                f"{type(self).__name__}.url is empty. Set it, for example to redis://127.0.0.1:6379/2."
            )
        # The thread tries again, after a pause.
        retry = Retry(NoBackoff(), 0)
        try:
            return Redis.from_url(
                self.url,
                retry=retry,
                socket_timeout=SECONDS,
                socket_connect_timeout=SECONDS,
            )
        except ValueError:
            # Its message may contain a part of the password.
            raise ImproperlyConfigured(
                f"{type(self).__name__}.url is not a valid URL of Redis. Begin it with redis://, "
                "rediss:// or unix://."
            ) from None

    def send(self, entries: Sequence[Entry]) -> None:
        strings: list[str | bytes | int] = []
        for entry in entries:
            columns = {**entry._asdict(), "at": entry.at.isoformat()}
            fields: list[str | bytes] = []
            for name, value in columns.items():
                if value is not None:
                    fields += [name, str(value).encode(errors="replace")]
            strings += [len(fields), *fields]
        with self._sending:
            keys = self.stream, f"{{{self.stream}}}:{self._process}"
            arguments = self._process, self._sent_so_far + 1, self.maxlen or 0
            trimmed = self._client.eval(_APPEND, len(keys), *keys, *arguments, *strings)
            self._sent_so_far += len(entries)
        if trimmed:
            self.lose(trimmed, f"has a full stream of {self.maxlen} entries")

    def disconnect(self) -> None:
        self._client.close()

    def reset(self) -> None:
        super().reset()
        self._client = self.connect()
        self._process = secrets.token_hex(8)
        self._sent_so_far = 0
        # In tests, several threads may send.
        self._sending = Lock()
