"""The buffered log: rows wait for nobody, and for no longer than promised."""

import gc
import logging
import threading
import time
import weakref
from contextlib import contextmanager
from itertools import count

import pytest
from django.db import DatabaseError, DataError, IntegrityError, connection, transaction
from django.db.backends.signals import connection_created

from frappe_tokens.db import LOCK_SECONDS
from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import buffered, insertion
from frappe_tokens.request_log.buffered import BATCH, ENOUGH, BufferedSink

from .conftest import (
    TABLE,
    an_entry,
    logged_paths,
    table_gone,
    table_locked,
    wait_until,
)
from .processes import run


@pytest.fixture
def slow(monkeypatch):
    """Nothing is written because of its age."""
    monkeypatch.setattr(buffered, "PERIOD", 600)


@pytest.fixture
def quick(monkeypatch):
    """The thread looks often, and ends soon."""
    monkeypatch.setattr(buffered, "PERIOD", 0.01)


@pytest.fixture
def sizes(monkeypatch):
    """How many rows each INSERT is asked to write."""
    asked = []
    insert = insertion.insert

    def counted(entries, **options):
        asked.append(len(entries))
        insert(entries, **options)

    monkeypatch.setattr(insertion, "insert", counted)
    return asked


@pytest.fixture
def opened():
    """The connections to the database that threads of ours make meanwhile."""
    made = []

    def note(connection, **_):
        if threading.current_thread() in threads():
            made.append(connection)

    connection_created.connect(note)
    yield made
    connection_created.disconnect(note)


# What gives an error of the kind that a table in trouble gives, for rows that begin with /refused.
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
END_OF_TRIGGER = {"postgresql": f"DROP TRIGGER refuses ON {TABLE}"}


@pytest.fixture
def refusing(transactional_db):
    """The table does not take a row whose path begins with /refused."""
    with connection.cursor() as cursor:
        for statement in TRIGGERS[connection.vendor]:
            cursor.execute(statement)
    try:
        with pytest.raises(DatabaseError) as refusal:
            insertion.insert([an_entry("/refused")])
        assert not isinstance(refusal.value, DataError | IntegrityError)
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(END_OF_TRIGGER.get(connection.vendor, "DROP TRIGGER refuses"))


@contextmanager
def at_each_insert(monkeypatch, happens):
    """Before the INSERT of that number, from 1 on."""
    insert = insertion.insert
    begun = count(1)

    def preceded(entries, **options):
        happens(next(begun))
        insert(entries, **options)

    with monkeypatch.context() as patched:
        patched.setattr(insertion, "insert", preceded)
        yield


def threads():
    return [one for one in threading.enumerate() if one.name == "frappe_tokens request log"]


def test_a_row_is_in_the_table_within_a_second(sink):
    began = time.monotonic()
    sink.write(an_entry("/one"))
    wait_until(lambda: logged_paths() == ["/one"])
    assert time.monotonic() - began <= 1


def test_many_rows_are_written_before_their_time(sink, slow):
    for number in range(ENOUGH):
        sink.write(an_entry(f"/{number}"))
    wait_until(lambda: len(logged_paths()) == ENOUGH)
    assert logged_paths() == [f"/{number}" for number in range(ENOUGH)]


def test_no_batch_is_larger_than_promised(sink, slow, sizes):
    with table_locked():
        for _ in range(3 * BATCH + 1):
            sink.write(an_entry())
    sink.flush()
    assert ApiRequestLog.objects.count() == 3 * BATCH + 1
    assert max(sizes) == BATCH


def test_writing_waits_for_nobody(sink):
    with table_locked():
        began = time.monotonic()
        for _ in range(2 * ENOUGH):
            sink.write(an_entry())
        assert time.monotonic() - began < LOCK_SECONDS
    wait_until(lambda: ApiRequestLog.objects.count() == 2 * ENOUGH)


def test_drops_and_counts_what_is_too_much(
    sink,
    slow,
    monkeypatch,
    caplog,
):
    monkeypatch.setattr(buffered, "CAPACITY", 3)
    for number in range(5):
        sink.write(an_entry(f"/{number}"))
    (complaint,) = caplog.messages
    assert "3 rows wait, and the buffer is full." in complaint
    assert "This process has lost 1 so far." in complaint
    assert not caplog.records[0].exc_info
    sink.flush()
    assert logged_paths() == ["/0", "/1", "/2"]
    sink.close()
    assert caplog.messages[1:] == ["2 requests are not in the request log."]
    sink.write(an_entry("/later"))
    sink.flush()
    assert logged_paths()[3:] == ["/later"]


def test_keeps_what_cannot_be_written_for_now(sink, quick, trouble, caplog):
    with trouble():
        sink.write(an_entry("/first"))
        wait_until(lambda: bool(caplog.messages))
        sink.write(an_entry("/second"))
    wait_until(lambda: logged_paths() == ["/first", "/second"])
    (complaint,) = caplog.records
    assert "can't be written, and 1 rows wait" in complaint.getMessage()
    assert "This process has lost 0 so far." in complaint.getMessage()
    assert complaint.exc_info is not None


def test_tries_again_less_and_less_often(sink, quick, sizes, monkeypatch):
    monkeypatch.setattr(buffered, "PAUSE_MAX", 0.05)
    with table_gone():
        began = time.monotonic()
        sink.write(an_entry())
        wait_until(lambda: len(sizes) >= 6)
        # 0.01, 0.02, 0.04, 0.05, 0.05
        assert time.monotonic() - began >= 0.16
    wait_until(lambda: ApiRequestLog.objects.count() == 1)


def test_does_not_hurry_when_nothing_can_be_written(sink, slow, sizes):
    with table_gone():
        for _ in range(ENOUGH):
            sink.write(an_entry())
        wait_until(lambda: len(sizes) == 1)
        for _ in range(ENOUGH):
            sink.write(an_entry())
        with pytest.raises(DatabaseError):
            sink.flush()
    assert len(sizes) == 2
    sink.flush()
    assert ApiRequestLog.objects.count() == 2 * ENOUGH


def test_only_a_row_that_the_table_does_not_take_is_lost(sink, slow, caplog):
    good = [f"/{number}" for number in range(20)]
    for number, path in enumerate(good):
        sink.write(an_entry(path))
        if number in {3, 4, 17}:
            sink.write(an_entry("/impossible", status=-1))
    sink.flush()
    assert logged_paths() == good
    (complaint,) = caplog.messages
    assert (
        "doesn't accept a row. Requests continue without it. This process has lost 1 so far."
        in complaint
    )
    sink.close()
    assert caplog.messages[1:] == ["3 requests are not in the request log."]


def test_a_refusal_of_any_kind_is_the_rows_own_where_others_are_taken(sink, slow, refusing, caplog):
    good = [f"/{number}" for number in range(20)]
    for number, path in enumerate(good):
        sink.write(an_entry(path))
        if number in {3, 4, 17}:
            sink.write(an_entry("/refused"))
    sink.flush()
    assert logged_paths() == good
    (complaint,) = caplog.records
    assert (
        "doesn't accept a row. Requests continue without it. This process has lost 1 so far."
        in complaint.getMessage()
    )
    assert complaint.exc_info is not None
    sink.close()
    assert caplog.messages[1:] == ["3 requests are not in the request log."]


def test_a_client_does_not_stop_the_log_by_many_refused_rows(sink, quick, refusing):
    for number in range(BATCH):
        sink.write(an_entry(f"/refused/{number}"))
    sink.write(an_entry("/good"))
    wait_until(lambda: logged_paths() == ["/good"])


def test_a_refused_row_that_waits_alone_is_left_out(sink, slow, refusing):
    with transaction.atomic():
        sink.write(an_entry("/refused"))
        sink.flush()
        sink.write(an_entry("/good"))
        sink.flush()
    assert logged_paths() == ["/good"]


def test_refused_rows_wait_with_the_others_while_none_can_be_written(
    sink, slow, refusing, trouble, sizes
):
    paths = ["/first", "/refused", "/second"]
    for path in paths:
        sink.write(an_entry(path))
    with trouble(), pytest.raises(DatabaseError):
        sink.flush()
    assert sizes == [3]
    sink.flush()
    assert logged_paths() == ["/first", "/second"]


def test_a_row_that_fails_once_is_not_left_out(sink, slow, monkeypatch):
    """As the victim of a deadlock does."""

    def fail_at_first(number):
        if number == 1:
            with connection.cursor() as cursor:
                cursor.execute("SELECT * FROM nowhere")

    sink.write(an_entry("/victim"))
    with at_each_insert(monkeypatch, fail_at_first):
        sink.flush()
    assert logged_paths() == ["/victim"]


def test_rows_go_to_no_other_database_than_theirs(
    sink,
    slow,
    monkeypatch,
    caplog,
):
    """Django exchanges the name for a run of tests, and puts the old one back."""
    sink.write(an_entry("/before"))
    with monkeypatch.context() as patched:
        patched.setitem(connection.settings_dict, "NAME", "of_the_tests")
        sink.write(an_entry("/of a test"))
        sink.write(an_entry("/of another test"))
    sink.write(an_entry("/after"))
    sink.flush()
    assert logged_paths() == ["/before", "/after"]
    sink.close()
    assert caplog.messages == []


def test_rows_go_to_no_database_that_comes_while_connecting(sink, slow, monkeypatch):
    def exchange(connection, **_):
        patched.setitem(connection.settings_dict, "NAME", "of_the_project")

    sink.write(an_entry("/of a test"))
    connection.close()
    with monkeypatch.context() as patched:
        connection_created.connect(exchange)
        try:
            sink.flush()
        finally:
            connection_created.disconnect(exchange)
    assert logged_paths() == []


RUN_OF_TESTS = """
import django
django.setup()
from django.test.runner import DiscoverRunner
from frappe_tokens.request_log import current_sink
from tests.request_log.conftest import an_entry, logged_paths

runner = DiscoverRunner(verbosity=0, interactive=False)
databases = runner.setup_databases()
current_sink().write(an_entry("/written"))
current_sink().flush()
assert logged_paths() == ["/written"]
current_sink().close()
# The last of them is over before the thread looks.
current_sink()._is_running = True
current_sink().write(an_entry("/left"))
current_sink()._is_running = False
runner.teardown_databases(databases)
current_sink().write(an_entry("/of the project"))
"""


@pytest.mark.django_db(transaction=True)
def test_a_run_of_tests_leaves_nothing_in_the_projects_database():
    assert run("-c", RUN_OF_TESTS) == ""
    assert logged_paths() == ["/of the project"]


def test_the_thread_and_its_connection_end_when_there_is_nothing_to_do(sink, quick, opened):
    for path in ("/first", "/second"):
        sink.write(an_entry(path))
        wait_until(lambda path=path: path in logged_paths())
        wait_until(lambda: not threads())
    assert len(opened) >= 2
    assert all(one.connection is None for one in opened)


def test_the_connection_ends_with_each_batch(sink, opened):
    """As one ends with each request, where ``CONN_MAX_AGE`` is 0."""
    sink.write(an_entry())
    wait_until(lambda: bool(opened))
    wait_until(lambda: opened[0].connection is None)
    assert threads()


def test_the_connection_stays_under_load(sink, slow, opened):
    for number in (1, 2, 3):
        for _ in range(ENOUGH):
            sink.write(an_entry())
        wait_until(lambda number=number: ApiRequestLog.objects.count() == number * ENOUGH)
    sink.close()
    assert len(opened) == 1
    assert opened[0].connection is None


def test_is_forgotten_with_whoever_made_it(transactional_db, quick):
    sink = BufferedSink()
    sink.write(an_entry())
    wait_until(lambda: not threads())
    alive = weakref.ref(sink)
    del sink
    gc.collect()
    assert alive() is None
    assert logged_paths() == ["/api/"]


def test_flushes_within_the_callers_transaction(sink, slow):
    """So a test sees the rows, and they go with it."""
    with transaction.atomic():
        sink.write(an_entry("/one"))
        sink.flush()
        assert logged_paths() == ["/one"]
        transaction.set_rollback(True)
    assert logged_paths() == []


def test_flushing_says_when_it_cannot(sink, slow, trouble):
    sink.write(an_entry("/kept"))
    with trouble(), pytest.raises(DatabaseError):
        sink.flush()
    sink.flush()
    assert logged_paths() == ["/kept"]


def test_flushing_waits_for_the_thread_but_not_for_ever(sink, quick, monkeypatch):
    with monkeypatch.context() as patched, table_locked():
        patched.setattr(buffered, "PATIENCE", 0.01)
        sink.write(an_entry())
        wait_until(sink._writing.locked)
        with pytest.raises(TimeoutError):
            sink.flush()
    sink.flush()
    assert logged_paths() == ["/api/"]


def test_closing_writes_the_rest_and_ends_the_thread(sink, slow):
    for _ in range(2):
        sink.write(an_entry())
        sink.close()
        assert not threads()
    assert len(logged_paths()) == 2


def test_closing_is_bounded_and_says_what_is_lost(sink, slow, trouble, caplog):
    sink.write(an_entry())
    sink.write(an_entry())
    began = time.monotonic()
    with trouble():
        sink.close()
    assert time.monotonic() - began < 4 * LOCK_SECONDS
    assert not threads()
    complaint, lost = caplog.messages
    assert "can't be written" in complaint
    assert lost == "2 requests are not in the request log."


def test_closing_again_tells_only_of_more(sink, slow, caplog):
    """As at the end of a server that says so beforehand, and then of its process."""

    def told(lost):
        caplog.clear()
        for _ in range(lost):
            sink.write(an_entry("/impossible", status=-1))
        sink.close()
        sink.close()
        return [
            message for message in caplog.messages if message.endswith("not in the request log.")
        ]

    assert told(2) == ["2 requests are not in the request log."]
    assert told(0) == []
    assert told(1) == ["3 requests are not in the request log."]


def test_closing_waits_for_a_stuck_thread_no_longer_than_promised(sink, quick, monkeypatch):
    with monkeypatch.context() as patched, table_locked():
        patched.setattr(buffered, "PATIENCE", 0.01)
        sink.write(an_entry())
        wait_until(sink._writing.locked)
        began = time.monotonic()
        sink.close()
        assert time.monotonic() - began < LOCK_SECONDS
    wait_until(lambda: logged_paths() == ["/api/"] and not threads())


@pytest.fixture
def no_more_threads():
    """No thread can be started, because its stack would be larger than the memory."""
    usual = threading.stack_size(2**46)
    yield
    threading.stack_size(usual)


def test_rows_wait_for_a_thread_that_cannot_start_yet(sink, no_more_threads):
    sink.write(an_entry("/first"))
    assert not threads()
    threading.stack_size(0)
    sink.write(an_entry("/second"))
    wait_until(lambda: logged_paths() == ["/first", "/second"])


def test_the_exit_writes_what_no_thread_could(sink, no_more_threads, monkeypatch):
    monkeypatch.setattr(buffered, "_is_exiting", False)
    sink.write(an_entry("/before"))
    buffered._at_exit()
    assert logged_paths() == ["/before"]
    sink.write(an_entry("/during"))
    assert logged_paths() == ["/before", "/during"]


def test_the_exit_says_what_is_lost_where_there_is_no_thread(sink, monkeypatch, caplog):
    monkeypatch.setattr(buffered, "_is_exiting", True)
    with table_gone():
        sink.write(an_entry())
        sink.close()
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "can't be written" in caplog.messages[0]
    assert caplog.messages[1] == "1 requests are not in the request log."


def test_a_forked_process_begins_with_nothing(sink, no_more_threads):
    sink.write(an_entry("/of the parent"))
    buffered._after_fork()
    threading.stack_size(0)
    sink.flush()
    assert logged_paths() == []
    sink.write(an_entry("/of the child"))
    sink.close()
    assert logged_paths() == ["/of the child"]


def test_commits_where_the_project_does_not(sink, monkeypatch):
    connection.ensure_connection()  # the test's own commits
    monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)
    sink.write(an_entry("/kept"))
    wait_until(lambda: logged_paths() == ["/kept"])


def test_many_threads_write_at_once(sink):
    def write(number):
        for turn in range(500):
            sink.write(an_entry(f"/{number}/{turn}"))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    wait_until(lambda: ApiRequestLog.objects.count() == 4000)
    paths = logged_paths()
    for number in range(8):
        own = [path for path in paths if path.startswith(f"/{number}/")]
        assert own == [f"/{number}/{turn}" for turn in range(500)]
