"""The buffered log: rows are written soon, in batches, and never delay a request."""

import logging
import threading
import time

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.backends.signals import connection_created

from frappe_tokens.db import LOCK_SECONDS
from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import batches, insertion
from frappe_tokens.request_log.batches import BATCH, ENOUGH

from ..log_tables import TABLE, log_gone
from .conftest import IMPOSSIBLE, an_entry, locked, logged_paths, wait_until


@pytest.fixture
def slow(monkeypatch):
    """Age alone has nothing written, or tried again."""
    monkeypatch.setattr(batches, "PERIOD", 600)
    monkeypatch.setattr(batches, "PAUSE_MAX", 600)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(batches, "PERIOD", 0.01)


@pytest.fixture
def opened():
    """The connections to the database that the thread makes."""
    made = []

    def note(connection, **_):
        if threading.current_thread() in threads():
            made.append(connection)

    connection_created.connect(note)
    yield made
    connection_created.disconnect(note)


# The error is of the same kind as those of a table in trouble, which don't blame a row.
TRIGGERS = {
    "sqlite": [
        f"CREATE TRIGGER refuses BEFORE INSERT ON {TABLE} WHEN NEW.path LIKE '/refused%' "
        "BEGIN SELECT json(NEW.path); END",
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'refused'; END $$",
        f"CREATE TRIGGER refuses BEFORE INSERT ON {TABLE} FOR EACH ROW "
        "WHEN (NEW.path LIKE '/refused%') EXECUTE FUNCTION refuses()",
    ],
    "mysql": [
        f"CREATE TRIGGER refuses BEFORE INSERT ON {TABLE} FOR EACH ROW "
        "IF NEW.path LIKE '/refused%' THEN SIGNAL SQLSTATE '45000'; END IF",
    ],
}


@pytest.fixture
def refusing(transactional_db):
    """A trigger of the project's refuses rows whose path begins with /refused."""
    with connection.cursor() as cursor:
        for statement in TRIGGERS[connection.vendor]:
            cursor.execute(statement)
    yield
    on_table = f" ON {TABLE}" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER refuses{on_table}")


def threads():
    return [one for one in threading.enumerate() if one.name == "frappe_tokens request log"]


def write(sink, *paths):
    for path in paths:
        sink.write(an_entry(path))


def test_row_is_written_within_the_promised_time(sink):
    assert batches.PERIOD < 1
    assert BATCH <= 500

    for path in ("/first", "/second"):
        write(sink, path)
        wait_until(lambda path=path: path in logged_paths())


def test_many_rows_are_written_at_once_and_in_order(sink, slow):
    paths = [f"/{number}" for number in range(ENOUGH)]

    write(sink, *paths)

    wait_until(lambda: logged_paths() == paths)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_that_ends_by_an_exception_is_replaced(sink, quick, monkeypatch):
    insert = insertion.insert

    def end(*args, **options):
        monkeypatch.setattr(insertion, "insert", insert)
        raise SystemExit

    monkeypatch.setattr(insertion, "insert", end)

    write(sink, "/first")
    wait_until(lambda: sink._thread is None)
    write(sink, "/second")

    wait_until(lambda: logged_paths() == ["/first", "/second"])


def test_writing_does_not_wait_for_the_table(sink, slow):
    with locked():
        started = time.monotonic()
        write(sink, *["/api/"] * 3 * BATCH)
        assert time.monotonic() - started < LOCK_SECONDS

    sink.flush()
    assert len(logged_paths()) == 3 * BATCH


def test_full_buffer_drops_rows_and_counts_them(sink, slow, monkeypatch, caplog):
    monkeypatch.setattr(batches, "CAPACITY", 3)

    write(sink, *"12345")

    (message,) = caplog.messages
    assert "has a full buffer of 3 rows." in message
    assert "This process has lost 1 so far." in message
    assert not caplog.records[0].exc_info
    sink.close()
    assert caplog.messages[1:] == ["2 requests are not in the request log."]
    write(sink, "6")
    sink.close()
    assert logged_paths() == ["1", "2", "3", "6"]


def test_rows_wait_until_the_table_can_be_written(sink, quick, trouble, caplog):
    with trouble():
        write(sink, "/first")
        wait_until(lambda: caplog.messages)
        write(sink, "/second")

    wait_until(lambda: logged_paths() == ["/first", "/second"])
    (record,) = caplog.records
    assert "can't be written, and 1 rows wait" in record.getMessage()
    assert "This process has lost 0 so far." in record.getMessage()
    assert record.exc_info is not None


def test_pauses_after_a_failure_however_many_rows_come(sink, slow, monkeypatch):
    tries = []
    monkeypatch.setattr(insertion, "can_insert", tries.append)

    with log_gone():
        write(sink, *["/1"] * ENOUGH)
        wait_until(lambda: tries)
        write(sink, *["/2"] * ENOUGH)
        with pytest.raises(DatabaseError):
            sink.flush()  # after the thread, if that were trying

    # Each failure was tried with a row of that time and with one of now.
    assert len(tries) == 4


def test_only_refused_rows_are_lost(sink, slow, refusing, caplog):
    good = [f"/{number}" for number in range(20)]
    for number, path in enumerate(good):
        write(sink, path)
        if number in {3, 4, 17}:
            write(sink, "/refused")
            sink.write(IMPOSSIBLE)
    with log_gone(), pytest.raises(DatabaseError):
        sink.flush()

    sink.flush()

    assert logged_paths() == good
    (record,) = caplog.records
    assert "doesn't accept a row. Requests continue without it." in record.getMessage()
    assert "This process has lost 1 so far." in record.getMessage()
    assert record.exc_info is not None
    sink.close()
    assert caplog.messages[1:] == ["6 requests are not in the request log."]


def test_row_that_fails_only_once_is_written(sink, slow, monkeypatch):
    """Like the victim of a deadlock."""
    insert, failures = insertion.insert, [DatabaseError("deadlock")]

    def fail_once(entries, **options):
        if failures and entries[0].path == "/victim":
            raise failures.pop()
        insert(entries, **options)

    monkeypatch.setattr(insertion, "insert", fail_once)
    write(sink, "/victim")

    sink.flush()

    assert logged_paths() == ["/victim"]


def test_connection_is_closed_when_no_rows_wait(sink, opened, monkeypatch):
    """As at the end of a request, with ``CONN_MAX_AGE`` 0; the thread stays."""
    monkeypatch.setattr(batches, "QUIET", 600)
    write(sink, "/api/")

    wait_until(lambda: opened and opened[0].connection is None, seconds=20)
    assert threads()


def test_thread_and_its_connection_end_without_rows(sink, quick, opened, monkeypatch):
    monkeypatch.setattr(batches, "QUIET", 0.01)

    for path in ("/first", "/second"):
        write(sink, path)
        wait_until(lambda path=path: path in logged_paths() and not threads())

    assert len(opened) >= 2
    assert all(one.connection is None for one in opened)


def test_flush_writes_in_the_callers_transaction(sink, slow):
    with transaction.atomic():
        write(sink, "/api/")
        sink.flush()
        assert logged_paths() == ["/api/"]
        transaction.set_rollback(True)

    assert logged_paths() == []


@pytest.fixture
def stuck(sink, monkeypatch):
    """The thread is writing until this event is set, and is not waited for."""
    begun, free, insert = threading.Event(), threading.Event(), insertion.insert

    def wait(*args, **options):
        begun.set()
        free.wait(60)
        insert(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(batches, "PERIOD", 0.01)
        patch.setattr(batches, "PATIENCE", 0.01)
        patch.setattr(insertion, "insert", wait)
        write(sink, "/api/")
        begun.wait(60)
        yield free
        free.set()


def test_flush_and_close_do_not_wait_forever_for_the_thread(sink, stuck, caplog):
    with pytest.raises(TimeoutError):
        sink.flush()
    sink.close()

    assert caplog.messages == ["1 requests are not in the request log."]
    stuck.set()
    wait_until(lambda: logged_paths() == ["/api/"])


def test_close_writes_the_rest_and_ends_the_thread_and_its_connection(sink, slow, opened):
    for number in (1, 2):
        write(sink, "/api/")
        sink.close()
        assert not threads()
        assert len(logged_paths()) == number
    assert all(one.connection is None for one in opened)


def test_close_reports_lost_rows_once(sink, slow, caplog):
    """A server may close the log, and then its process does."""

    def reported(lost):
        caplog.clear()
        for _ in range(lost):
            sink.write(IMPOSSIBLE)
        sink.close()
        sink.close()
        return [message for message in caplog.messages if "are not in" in message]

    assert reported(2) == ["2 requests are not in the request log."]
    assert reported(0) == []
    assert reported(1) == ["3 requests are not in the request log."]


def test_close_ends_the_thread_while_nothing_can_be_written(sink, slow, trouble, caplog):
    write(sink, "/1", "/2")

    with trouble():
        sink.close()

    assert not threads()
    error, lost = caplog.messages
    assert "can't be written" in error
    assert lost == "2 requests are not in the request log."


@pytest.fixture
def no_threads(monkeypatch):
    """A context in which no thread can be started."""

    def fail(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        yield patch


def test_rows_wait_until_a_thread_can_be_started(sink, quick, no_threads):
    write(sink, "/first")
    no_threads.undo()
    write(sink, "/second")

    wait_until(lambda: logged_paths() == ["/first", "/second"])


@pytest.fixture
def exiting(monkeypatch):
    monkeypatch.setattr(batches, "_is_exiting", False)
    monkeypatch.setattr(batches, "_sinks", [])


def test_exit_writes_what_no_thread_could(sink, exiting, no_threads):
    batches._sinks.append(sink)
    write(sink, "/before")

    batches._at_exit()
    assert logged_paths() == ["/before"]

    write(sink, "/during")
    assert logged_paths() == ["/before", "/during"]


def test_exit_reports_what_is_lost(sink, exiting, caplog):
    batches._at_exit()
    with log_gone():
        write(sink, "/api/")
        sink.close()

    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "can't be written" in caplog.messages[0]
    assert caplog.messages[1] == "1 requests are not in the request log."


def test_forked_process_starts_empty(sink, slow, no_threads):
    write(sink, "/parent")
    batches._after_fork()
    no_threads.undo()
    write(sink, "/child")
    sink.close()

    assert logged_paths() == ["/child"]


def test_commits_if_the_project_has_no_autocommit(sink, quick, monkeypatch):
    connection.ensure_connection()  # the test's own commits
    monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)

    write(sink, "/kept")

    wait_until(lambda: logged_paths() == ["/kept"])


def test_many_threads_write_at_once(sink):
    paths = [[f"/{number}/{turn}" for turn in range(500)] for number in range(8)]

    writers = [threading.Thread(target=write, args=(sink, *own)) for own in paths]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    wait_until(lambda: ApiRequestLog.objects.count() == 4000)
    written = logged_paths()
    for own in paths:
        assert [path for path in written if path in set(own)] == own
