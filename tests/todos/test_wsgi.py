"""What a WSGI server loads."""

from wsgiref.util import setup_testing_defaults

import pytest
from django.core.servers.basehttp import get_internal_wsgi_application


# Django looks at the connections that this thread has open.
@pytest.mark.django_db
def test_entry_point_answers():
    environ = {"PATH_INFO": "/api/method/ping"}
    setup_testing_defaults(environ)
    statuses = []

    body = get_internal_wsgi_application()(environ, lambda status, _: statuses.append(status))

    assert (statuses, b"".join(body)) == (["200 OK"], b'{"message":"pong"}')
