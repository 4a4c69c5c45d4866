"""A sink of the project's own that sends batches."""

import pytest

from frappe_tokens.request_log import BatchSink, batches

from .conftest import an_entry, wait_until


class Shipper(BatchSink):
    """Its destination doesn't answer at first."""

    def __init__(self):
        self.tried, self.shipped = [], []
        super().__init__()

    def send(self, entries):
        self.tried.append([entry.path for entry in entries])
        if len(self.tried) == 1:
            raise ConnectionError("made up")
        self.shipped += self.tried[-1]


@pytest.fixture
def shipper(monkeypatch):
    monkeypatch.setattr(batches, "PERIOD", 0.01)
    shipper = Shipper()
    yield shipper
    shipper.close()


def test_failed_batch_is_sent_again_with_later_entries(shipper, caplog):
    shipper.write(an_entry("/first"))
    wait_until(lambda: shipper.tried)
    shipper.write(an_entry("/second"))

    wait_until(lambda: shipper.shipped == ["/first", "/second"])
    assert shipper.tried[0] == ["/first"]
    (message,) = caplog.messages
    assert message.startswith(
        "The request log can't be written, and 1 rows wait. Requests continue"
    )


def test_close_sends_what_waits(shipper, monkeypatch):
    monkeypatch.setattr(batches, "PERIOD", 600)
    shipper.tried.append([])  # it answers
    for path in ("/first", "/second"):
        shipper.write(an_entry(path))

    shipper.close()

    assert shipper.shipped == ["/first", "/second"]


def test_lost_entries_are_counted_and_reported(shipper, caplog):
    shipper.lose(3, "has no room")
    shipper.close()

    reported, at_the_end = caplog.messages
    assert reported.startswith("The request log has no room. Requests continue without it.")
    assert reported.endswith("This process has lost 3 so far.")
    assert at_the_end == "3 requests are not in the request log."


def test_sink_must_define_send():
    with pytest.raises(NotImplementedError, match=r"send\(\)"):
        BatchSink().send([])
