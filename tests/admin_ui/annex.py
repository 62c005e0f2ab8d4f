"""Pages where people may sign in at an OpenID provider, too, and the way there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from tests.admin_ui.browsing import Visitor
from tests.admin_ui.conftest import Office
from tests.support.databases import Database
from tests.support.openid import OpenIdProvider
from tests.support.processes import Running, start_admin
from votepyramid.audit.operators import acting_as
from votepyramid.people import setup

THERE = "The provider"
GO = "Sign in with Our staff"


@dataclass
class Annex:
    """Pages where people may sign in elsewhere, too, of the office's database."""

    office: Office
    admin: Running
    there: OpenIdProvider

    def visitor(self) -> Visitor:
        return self.office.browsing.visitor(self.admin.url)

    def link(self, name: str, *roles: str) -> setup.Link:
        return setup.invite(acting_as(self.office.people, "tests"), name, roles)

    def add(self, name: str, *roles: str) -> Visitor:
        """Somebody who has set up elsewhere, under their name, at their browser."""
        visitor = self.visitor()
        visitor.go(f"/set-up#{self.link(name, *roles).secret}")
        visitor.fill(name=name)
        leave(visitor, GO)
        enter(visitor, name)
        assert visitor.path == "/"
        return visitor

    def age(self, name: str) -> None:
        """Whatever they proved was an hour ago."""
        with self.office.people.begin() as connection:
            connection.execute(
                text(
                    "UPDATE people_sessions SET signed_in_at = now() - interval '1 h' "
                    "WHERE person = (SELECT id FROM people WHERE name = :name)"
                ),
                {"name": name},
            )


def start_with(
    office: Office, database: Database, folder: Path, there: OpenIdProvider
) -> Running:
    """Pages with that provider, where the secret is in a file."""
    secret = folder / "secret"
    secret.write_text("a secret\n")
    secret.chmod(0o600)
    known = there.register("", secret="a secret")
    admin = start_admin(
        office.engine.env,
        database,
        folder,
        oidc_issuer=there.issuer,
        oidc_client_id=known.id,
        oidc_client_secret_file=secret,
        oidc_name="Our staff",
    )
    known.redirect_uri = f"{admin.url}/sign-in/callback"
    return admin


def leave(visitor: Visitor, label: str) -> None:
    """Press a button that leads to the provider."""
    visitor.page.get_by_role("button", name=label, exact=True).click()
    visitor.page.get_by_role("heading", name=THERE).wait_for()


def enter(visitor: Visitor, who: str) -> None:
    """Say there who one is; the page that one comes back to."""
    visitor.fill(who=who)
    with visitor.page.expect_navigation(url=f"{visitor.url}/**"):
        visitor.page.get_by_role("button", name="Enter", exact=True).click()


def pass_by(visitor: Visitor, label: str) -> None:
    """Go there, where one is signed in already, and come back."""
    with visitor.page.expect_navigation(
        url=lambda url: url.startswith(visitor.url) and not url.endswith("/provider")
    ):
        visitor.page.get_by_role("button", name=label, exact=True).click()
