"""What is answered in an event loop, without a thread."""

import pytest
from django.core.cache import caches

from frappe_tokens.lookup import cache as key_cache
from frappe_tokens.verification import threads

LOCAL = "django.core.cache.backends.locmem.LocMemCache"
ELSEWHERE = "tests.caches.SwitchableCache"  # it could be anywhere

WAITS = "waits for a thread"


async def first_step(coroutine):
    """Return the result of a coroutine that waits for nothing, else WAITS. All threads are busy."""
    for _ in range(threads.CONCURRENT):
        await threads.semaphore().acquire()
    try:
        coroutine.send(None)
    except StopIteration as returned:
        return returned.value
    coroutine.close()
    return WAITS


def use_cache(settings, backend, **options):
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": "event loop", **options}}
    settings.FRAPPE_TOKENS = {"CACHE": "default", "REQUEST_LOG": "null"}


def forget_changes():
    """A key that was changed lately isn't cached."""
    caches["default"].clear()
    key_cache.reset()


@pytest.fixture
def local_memory(settings):
    """Keys are cached in local memory."""
    use_cache(settings, LOCAL)
    settings.DATABASE_ROUTERS = []
    forget_changes()
    yield
    forget_changes()
