"""The pages and Temporal's console as production has them, behind one nginx.

The real programs, with the files of deploy/console.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
from click.testing import CliRunner
from playwright.sync_api import expect

from tests.admin_ui.browsing import Visitor
from tests.admin_ui.test_second_factor import PASSPHRASE, Office, Stick, register
from tests.codec_server import desk
from tests.support.fronts import ConsoleForLooking, Nginx
from tests.support.processes import Running, start_admin, stopping
from votepyramid.cli import main
from votepyramid.stack.ports import free_port

AUDIENCE = "votepyramid-operators"
WORKFLOWS = "/api/v1/namespaces/default/workflows"


@dataclass(frozen=True)
class Site:
    """`pages` and `console` are origins, as a browser writes them."""

    office: Office
    pages: str
    console: str
    codec_server: Running
    own_console: str
    folder: Path

    def visitor(self, name: str = "") -> Visitor:
        """A browser at the pages that knows nothing; with a name, signed in there."""
        visitor = self.office.browsing.visitor(self.pages, ignore_https_errors=True)
        if name:
            visitor.sign_in(name, PASSPHRASE)
        return visitor

    def with_key(self, name: str, *roles: str) -> Visitor:
        """A new person who is signed in and has registered a key."""
        self.office.add(name, *roles)
        visitor = self.visitor(name)
        Stick(visitor)
        register(visitor)
        assert visitor.path == "/account"
        return visitor

    def recorded(self) -> tuple[str, str]:
        """A workflow that recorded votes, and the receipt hash of one of them."""
        found = self.office.election.count(
            "SELECT group_id || ' ' || receipt_hash FROM vote_groups "
            "WHERE election = 'demo' LIMIT 1"
        )
        group, receipt_hash = str(found).split()
        return group, receipt_hash

    def stranger(self) -> httpx2.Client:
        """Somebody at the console's port without any cookie."""
        return httpx2.Client(base_url=self.console, verify=False)

    def client(self, visitor: Visitor, origin: str = "") -> httpx2.Client:
        """Who sends what no page would, with a visitor's cookies."""
        cookies = {
            one["name"]: one["value"]  # type: ignore[typeddict-item]
            for one in visitor.page.context.cookies()
        }
        return httpx2.Client(
            base_url=origin or self.console, cookies=cookies, verify=False
        )

    def decode(
        self, client: httpx2.Client, payloads: list[Any], **headers: str
    ) -> httpx2.Response:
        """As the console's page asks."""
        return client.post(
            "/codec/decode?preserveStorageRefs=true",
            json={"payloads": payloads},
            headers={"Origin": self.console, "X-Namespace": "default", **headers},
        )

    def codec_lines(self, event: str) -> list[dict[str, Any]]:
        """What the codec server logged of a kind."""
        lines = map(json.loads, self.codec_server.log_text().splitlines())
        return [line for line in lines if line.get("event") == event]


def page_of(workflow_id: str) -> str:
    """The console's address of it. Ours have a slash in them."""
    return f"/namespaces/default/workflows/{quote(workflow_id, safe='')}"


def api_of(workflow_id: str) -> str:
    """What the page asks of the console's server."""
    return f"{WORKFLOWS}/{quote(workflow_id, safe='')}"


def history(client: httpx2.Client, workflow_id: str) -> list[Any]:
    """A workflow's events."""
    found = client.get(f"{api_of(workflow_id)}/history")
    assert found.status_code == 200, found.text
    events: list[Any] = found.json()["history"]["events"]
    return events


def shown(visitor: Visitor, text: str) -> None:
    """Wait until the console's page has it."""
    # The console's first page is made of some two hundred small files.
    expect(visitor.page.locator("body")).to_contain_text(text, timeout=30_000)


@contextmanager
def site(office: Office, ui_server: Path, folder: Path) -> Iterator[Site]:
    """Everything that docs/operations.md tells to start."""
    made = CliRunner().invoke(main, ["operator", "keygen", str(folder / "keys")])
    assert made.exit_code == 0, made.output
    front = {name: free_port() for name in ("pages", "console")}
    pages, console = (f"https://localhost:{port}" for port in front.values())
    common = {
        "environment": "production",
        "codec_origin": console,
        "operator_issuer": pages,
        "operator_audience": AUDIENCE,
    }
    engine = office.engine
    admin = start_admin(
        engine.env,
        engine.database,
        folder,
        admin_origin=pages,
        operator_key_file=folder / "keys" / "operator.key.json",
        **common,
    )
    with ExitStack() as stack:
        stack.enter_context(stopping(admin))
        opening = common | {"operator_jwks": folder / "keys" / "operator.pub.json"}
        server = desk.start(
            dict(engine.env),
            folder,
            "codec-server",
            **{f"VOTEPYRAMID_{k.upper()}": str(v) for k, v in opening.items()},
        )
        stack.enter_context(stopping(server))
        temporal = engine.env["VOTEPYRAMID_TEMPORAL_ADDRESS"]
        looking = ConsoleForLooking(ui_server, folder, temporal=temporal, pages=pages)
        behind = {
            "pages": admin.port,
            "console": looking.port,
            "codec server": server.port,
        }
        for part in (looking, Nginx(folder, front["pages"], front["console"], behind)):
            stack.callback(part.stop)
            part.start()
        own = f"http://127.0.0.1:{looking.port}"
        yield Site(office, pages, console, server, own, folder)
