"""Our pages are whole and usable in a theme of the admin."""

import pytest

from tests.browser import tour
from tests.browser.inspection import Inspection

pytestmark = [
    pytest.mark.browser,
    pytest.mark.node,
    pytest.mark.django_db(transaction=True),
    # The themes don't support the newest Django yet.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning"),
]


def test_all_pages(open_page, make_user, axe):
    tour.prepare(make_user)
    root = make_user("root", is_staff=True, is_superuser=True)
    page = open_page("/admin/", root, reduced_motion="reduce")  # no tab fades in

    problems = Inspection(axe, only_ours=True).look_at(page, tour.admin_pages(page))

    assert not problems, "\n".join(problems)
