"""The administrators' pages: looked at by those who may, and knocked at by others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from sqlalchemy import Engine

from tests.admin_ui.test_pages import WORK
from tests.leaks.opening import SOME
from tests.leaks.scene import Scene
from tests.support import histories
from tests.support.processes import eventually
from votepyramid.audit import asked_exports
from votepyramid.audit.asked_exports import Asked
from votepyramid.audit.operators import acting_as
from votepyramid.custody import rotating
from votepyramid.db import make_engine
from votepyramid.engine import exporting
from votepyramid.engine.control import Desk
from votepyramid.engine.rewrapping import rewrap
from votepyramid.keys.local import LocalKeyFile
from votepyramid.people import setup
from workflows import messages as m

ADMINISTRATOR, GUESSED = "staff-ada", "staff-bob"
PASSPHRASE = "fourteen quiet herons waded"
PAGES = (
    *("/", "/work", "/orders", "/elections"),
    *("/audit", "/audit/exports", "/people", "/account"),
)


def visit(scene: Scene) -> httpx2.Client:
    """A browser, as far as the pages see."""
    url = scene.admin.url
    return httpx2.Client(base_url=url, timeout=30, headers={"Origin": url})


def people(scene: Scene) -> None:
    """An administrator, and somebody whose account is guessed at."""
    owner = make_engine(scene.election.database.owner_url, pool_size=1)
    for name in (ADMINISTRATOR, GUESSED):
        roles = ["administrator", "auditor"]
        link = setup.invite(acting_as(owner, "tests"), name, roles)
        setup.accept(owner, link.secret, name, PASSPHRASE)
        scene.staff_secrets.append(link.secret)
    scene.staff_secrets.append(PASSPHRASE)
    owner.dispose()


def looked(scene: Scene) -> None:
    """Every page there is something on."""
    with visit(scene) as http:
        form = {"name": ADMINISTRATOR, "passphrase": PASSPHRASE, "next": "/"}
        assert http.post("/sign-in", data=form).status_code == 303
        scene.staff_secrets += [*http.cookies.values()]
        for path in (*PAGES, *_workflows(scene), *_elections(scene)):
            answer = http.get(path)
            assert answer.status_code == 200, (path, answer.text)
            scene.pages[f"page {path}"] = answer.text
        receipt = {
            "election": scene.election.id,
            "receipt": scene.ballots[0].receipt_hash,
        }
        checked = http.post("/audit/checks", data=receipt)
        assert checked.status_code == 200
        scene.pages["page of a check"] = checked.text
        http.post("/sign-out")


def _workflows(scene: Scene) -> list[str]:
    """Some of each kind, and the one that is stuck."""
    (stuck,) = scene.console.needing_attention()
    found: dict[str, list[str]] = {}
    for one in histories.executions(scene.console):
        found.setdefault(one.workflow_type, []).append(one.id)
    some = [one for ids in found.values() for one in sorted(ids)[:SOME]]
    # Of the schedule of the archive there is no page.
    return [f"{WORK}/{one}" for one in {*some, stuck} if "archive" not in one]


def _elections(scene: Scene) -> list[str]:
    with scene.election.sql() as db:
        ids = [row[0] for row in db.execute("SELECT id FROM elections")]
    pages = ("/elections/{}", "/audit/voters?election={}", "/audit/checks?election={}")
    return [page.format(one) for one in ids for page in pages]


def refused(scene: Scene) -> None:
    """Secrets of voters wherever a request can have them; and too many guesses."""
    text, jwt = str(scene.ballots[2].bearer), scene.jwts[0]
    with visit(scene) as http:
        for _ in range(6):
            form = {"name": GUESSED, "passphrase": text, "next": "/"}
            answer = http.post("/sign-in", data=form)
            assert answer.status_code == 403, answer.text
        for form in (
            {"name": text, "passphrase": jwt, "next": f"/{text}"},
            {"name": GUESSED, text: text},
            {"name": text * 500, "passphrase": text, "next": jwt},
        ):
            assert http.post("/sign-in", data=form).status_code in (400, 403)
        set_up = {"code": text, "name": text, "passphrase": jwt, "repeated": jwt}
        assert http.post("/set-up", data=set_up).status_code == 403
        foreign = {"Origin": f"https://{text}.example"}
        assert http.post("/sign-out", headers=foreign).status_code == 403
        for path in (
            f"/{text}",
            f"{WORK}/{text}",
            f"/people/{text}",
            f"/audit?kind={jwt}",
        ):
            headers = {"Cookie": f"votepyramid-admin={text}", "X-Request-Id": jwt}
            assert http.get(path, headers=headers).status_code in (303, 404)


def rewrapped(scene: Scene) -> None:
    """Every key under a new key-encryption key."""
    path = scene.engine.env["VOTEPYRAMID_KEK_FILE"]
    new = rotating.rotate(
        scene.election.engine, LocalKeyFile(path), "kek-anew", file=True
    )
    scene.start_other("keys", scene.election.database.keeper_url)
    asked = m.RewrapKeysInput(new)
    done = rewrap(scene.engine.settings, asked, lambda *_: None)
    assert (done.failed, done.left) == (0, 0) and done.rewrapped > 10


def exported(scene: Scene) -> None:
    """The election as it stands, one vote of it being stuck."""
    scene.exports.mkdir(0o700)
    scene.start_other(
        "exporting",
        scene.election.database.exporter_url,
        exports_folder=scene.exports,
        export_wait=2,
    )
    with _pages(scene) as pages:
        desk, election = Desk(scene.engine.settings), scene.election.id
        asked_exports.ask(pages, desk, election)
        done = eventually(lambda: _export(pages).there is not None, 60)
        assert done, exporting.told(desk, m.exporting(election))
        assert (scene.exports / str(_export(pages).id)).is_dir()


def removed(scene: Scene) -> None:
    """That export."""
    with _pages(scene) as pages:
        export = _export(pages)
        asked_exports.remove(pages, Desk(scene.engine.settings), export.id)
        place = scene.exports / str(export.id)
        assert eventually(lambda: not place.exists(), 30)


@contextmanager
def _pages(scene: Scene) -> Iterator[Engine]:
    """The pages' database role, for the administrator."""
    engine = make_engine(scene.election.database.admin_url, pool_size=1)
    yield acting_as(engine, ADMINISTRATOR)
    engine.dispose()


def _export(pages: Engine) -> Asked:
    with pages.connect() as connection:
        (only,) = asked_exports.listed(connection)
    return only
