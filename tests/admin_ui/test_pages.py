"""Every page as every role: allowed or refused in words, and accessible."""

from __future__ import annotations

import pytest

from tests.admin_ui.conftest import PASSPHRASE, ROLES, Office
from tests.support.needs import needs
from tests.support.processes import eventually

pytestmark = needs("chromium")

WORK = "/work"
PAGES = {
    "/": ROLES,
    WORK: ROLES,
    f"{WORK}?needs_attention=1": ROLES,
    f"{WORK}/all?act=retry": ("operator", "administrator"),
    "/orders": ROLES,
    "/elections": ROLES,
    "/new-election": ("administrator",),
    "/elections/demo": ROLES,
    "/audit": ("administrator", "auditor"),
    "/audit/voters?election=demo": ("administrator", "auditor"),
    "/audit/checks?election=demo": ("administrator", "auditor"),
    "/audit/exports": ("administrator", "auditor"),
    "/manual/runbook": ROLES,
    "/manual/runbook/votepyramidnoworker": ROLES,
    "/manual/operations": ROLES,
    "/manual/configuration": ROLES,
    "/people": ("administrator", "auditor"),
    "/people/viewer": ("administrator", "auditor"),
    "/account": ROLES,
    "/account/keys/new": ROLES,
    "/sign-in/again": ROLES,
}


# What a page has once it shows what it is about.
SHOWS = {
    "/": "need a person (asked",
    WORK: "need attention.",
    f"{WORK}?needs_attention=1": "need attention.",
    f"{WORK}/all?act=retry": "nothing is done yet",
    "/orders": "waits here for a second administrator",
    "/new-election": "Signed manifest",
    "/elections": "demo",
    "/elections/demo": "Counted ",
    "/audit": "election_opened",
    "/audit/voters?election=demo": "In the hour from",
    "/audit/checks?election=demo": "Checked ",
    "/audit/exports": "Finished",
    "/manual/runbook": "The folder of checkpoints was lost",
    "/manual/runbook/votepyramidnoworker": "It is over when",
    "/manual/operations": "Exports",
    "/manual/configuration": "exports_folder",
    "/people": "Invite somebody",
    "/people/viewer": "Failed sign-ins",
    "/account": "Your roles: administrator",
    "/account/keys/new": "A security key needs JavaScript",
    "/sign-in/again": "Passphrase",
}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_sees_what_it_may(office: Office, role: str) -> None:
    visitor = office.visitor(role)
    # Long, and the same for everybody.
    without = "" if role == "administrator" else ".manual"
    refused = [path for path, allowed in PAGES.items() if role not in allowed]
    for path in PAGES:
        response = visitor.go(path)
        expected = 403 if path in refused else 200
        assert response.status == expected, (path, visitor.heading)
        if expected == 403:
            assert visitor.heading == "Your roles do not allow this"
            assert "administrator" in visitor.page.locator("main").inner_text()
        # All that are refused are one page.
        if path not in refused[1:]:
            assert visitor.violations(without) == [], path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible(office: Office, scheme: str) -> None:
    visitor = office.browsing.visitor(office.url, color_scheme=scheme)
    for path in ("/sign-in", "/set-up"):
        visitor.go(path)
        assert visitor.violations() == []
    visitor.sign_in("administrator", "wrong wrong wrong")
    assert visitor.violations() == []
    visitor.sign_in("administrator", PASSPHRASE)
    # In light they are looked at as each role.
    for path in ("/nowhere", *(PAGES if scheme == "dark" else ())):
        visitor.go(path)
        assert visitor.violations() == [], path


def test_narrow_pages_are_accessible(office: Office) -> None:
    """At the width of WCAG 1.4.10: a table may scroll by itself, the page may not."""
    visitor = office.browsing.visitor(
        office.url, viewport={"width": 320, "height": 640}
    )
    visitor.sign_in("administrator", PASSPHRASE)
    for path in PAGES:
        visitor.go(path)
        # Of each table there is, whether or not it is too wide with what is in it now.
        assert visitor.page.locator(".wide:not([tabindex])").count() == 0, path
        assert visitor.violations(".manual") == [], path
        width = visitor.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 320, path


def test_pages_show_what_they_are_about_without_javascript(office: Office) -> None:
    visitor = office.browsing.visitor(office.url, java_script_enabled=False)
    visitor.sign_in("administrator", PASSPHRASE)
    assert SHOWS.keys() == PAGES.keys()
    for path, wanted in SHOWS.items():

        def there(path: str = path, wanted: str = wanted) -> bool:
            visitor.go(path)
            return wanted in visitor.page.locator("main").inner_text()

        # What takes long is there when it is asked for again.
        assert eventually(there, 20), path
