"""Where errors are told: the log with all variables, and mails as text. And a cache that fails."""

from __future__ import annotations

import logging
import os
import traceback
from pathlib import Path

from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.redis import RedisCache
from django.core.mail.backends.base import BaseEmailBackend

from . import faults


class WithAttributes(logging.Formatter):
    """A record with its traceback, and all its attributes by their ``repr()``."""

    def format(self, record: logging.LogRecord) -> str:
        attributes = [f"{name} = {value!r}" for name, value in vars(record).items()]
        return "\n".join([super().format(record), *attributes])


class Variables(logging.Formatter):
    """The traceback of a record, with all variables of all frames by their ``repr()``."""

    def format(self, record: logging.LogRecord) -> str:
        if not record.exc_info:
            return ""
        error = traceback.TracebackException(*record.exc_info, capture_locals=True)
        return "".join(error.format())


class Mails(BaseEmailBackend):
    """Writes each mail into a file, without its encodings."""

    def send_messages(self, email_messages) -> int:
        faults.reach("mail")
        with (Path(os.environ["TRUST_DIR"]) / "mails").open("a") as file:
            for message in email_messages:
                for part in message.message().walk():
                    if not part.is_multipart():
                        file.write(part.get_payload(decode=True).decode() + "\n")
        return len(email_messages)


class _Failing:
    """A cache whose operations may fail."""

    def get(self, *args, **kwargs):
        faults.reach("cache")
        return super().get(*args, **kwargs)

    def get_many(self, *args, **kwargs):
        faults.reach("cache")
        return super().get_many(*args, **kwargs)

    def set(self, *args, **kwargs):
        faults.reach("cache")
        return super().set(*args, **kwargs)

    def set_many(self, *args, **kwargs):
        faults.reach("cache")
        return super().set_many(*args, **kwargs)

    def add(self, *args, **kwargs):
        faults.reach("cache")
        return super().add(*args, **kwargs)

    def incr(self, *args, **kwargs):
        faults.reach("cache")
        return super().incr(*args, **kwargs)


class Redis(_Failing, RedisCache):
    pass


class Files(_Failing, FileBasedCache):
    pass
