"""Each fault is made for real, and named by its check alone."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
)

from tests.doctor.conftest import Site
from tests.house.source import ROOT
from tests.support import openid
from tests.support.elections import make_election
from tests.support.faults import Wire
from tests.support.processes import eventually
from tests.support.stacks import VOTEPYRAMID
from votepyramid.doctor.commands import all_checks
from votepyramid.keys.local import LocalKeyFile
from votepyramid.logs.keeping import Keeping
from votepyramid.logs.store import RECEIPTS, Log
from votepyramid.settings import Settings
from votepyramid.stack import migrations
from votepyramid.stack.ports import LOOPBACK, free_port
from workflows.attributes import ATTENTION


def found(site: Site) -> dict[str, str]:
    """The checks that found something, with what they say."""
    _, checks = site.ask()
    return {
        name: check["sentence"]
        for name, check in checks.items()
        if check["state"] in ("wrong", "warning")
    }


def test_a_healthy_stack_gives_no_finding(site: Site) -> None:
    make_election(site.database, site.env)
    with openid.running() as there:
        site.set(oidc_issuer=there.issuer, oidc_client_id="v")
        status, checks = site.ask()
    assert {c["state"] for c in checks.values()} == {"ok"}, checks
    assert status == 0
    assert not any(check["todo"] for check in checks.values())


def test_the_command_shows_a_table(site: Site) -> None:
    site.sql("GRANT DELETE ON vote_submissions TO votepyramid_app")
    ran = subprocess.run(
        [VOTEPYRAMID, "doctor"],
        env=site.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr
    assert "✗ wrong" in ran.stdout
    assert "DELETE on" in ran.stdout
    assert "Traceback" not in ran.stderr


def test_no_password_is_ever_said(site: Site) -> None:
    for broken in (site.database.app_url[:-1], "postgresql://x:hush@nowhere.invalid/x"):
        site.set(database_url=broken, owner_database_url=broken)
        said = str(site.ask())
        secrets = [re.findall(r":([^:@/]+)@", url)[0] for url in (broken,)]
        assert not [secret for secret in secrets if secret in said]


CATALOGUE = [
    ("grants", "GRANT UPDATE ON vote_submissions TO votepyramid_app"),
    ("grants", "GRANT UPDATE (receipt) ON vote_submissions TO votepyramid_app"),
    ("grants", "GRANT SELECT ON voters TO PUBLIC"),
    ("grants", "GRANT SELECT ON vote_tokens TO votepyramid_sequencer"),
    ("grants", "GRANT DELETE ON wrapped_keys TO votepyramid_keeper"),
    ("grants", "GRANT SELECT ON vote_tokens TO votepyramid_admin"),
    ("grants", "GRANT SELECT ON voters TO votepyramid_exporter"),
    ("grants", "REVOKE SELECT ON archived_histories FROM votepyramid_exporter"),
    ("grants", "REVOKE INSERT ON vote_groups FROM votepyramid_app"),
    ("roles", "GRANT CREATE ON SCHEMA public TO votepyramid_app"),
    ("roles", "REVOKE CONNECT ON DATABASE {name} FROM votepyramid_sequencer"),
    ("triggers", "DROP TRIGGER token_stays_used ON vote_tokens"),
    ("triggers", "ALTER TABLE audit_events DISABLE TRIGGER append_only"),
    ("triggers", "ALTER TABLE audit_events DISABLE TRIGGER only_its_kinds"),
    ("triggers", "ALTER TABLE log_entries ENABLE TRIGGER append_only_whole"),
    (
        "triggers",
        (
            "CREATE TRIGGER mine BEFORE INSERT ON vote_submissions "
            "FOR EACH ROW EXECUTE FUNCTION append_only()"
        ),
    ),
    ("row-security", "ALTER TABLE wrapped_keys DISABLE ROW LEVEL SECURITY"),
    ("row-security", "DROP POLICY all_but_events ON log_entries"),
    ("row-security", "ALTER POLICY data_keys ON wrapped_keys WITH CHECK (true)"),
    ("row-security", "ALTER POLICY exporter_opens ON wrapped_keys USING (true)"),
    ("row-security", "CREATE POLICY mine ON log_tiles USING (true)"),
    ("schema", "UPDATE alembic_version SET version_num = '9999'"),
]


@pytest.mark.parametrize(("name", "statement"), CATALOGUE)
def test_the_catalogue(site: Site, name: str, statement: str) -> None:
    site.sql(statement.format(name=site.database.name))
    assert [*found(site)] == [name]


def test_an_older_schema_leaves_the_tables_unchecked(site: Site) -> None:
    migrations.downgrade(site.database.owner_url, "-1")
    status, checks = site.ask()
    assert status == 1
    assert [*found(site)] == ["schema"]
    for name in ("grants", "triggers", "sequencer", "archive"):
        assert checks[name]["state"] == "unchecked"


def test_a_missing_role(site: Site) -> None:
    site.set(keeper_role="nobody_at_all")
    assert found(site) == {"roles": "there is no role nobody_at_all"}


def test_a_database_whose_clock_is_ahead(site: Site) -> None:
    site.sql(
        "CREATE SCHEMA ahead",
        "CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql "
        "AS $$ SELECT pg_catalog.clock_timestamp() + interval '1 hour' $$",
        "GRANT USAGE ON SCHEMA ahead TO votepyramid_owner",
        f"ALTER ROLE votepyramid_owner IN DATABASE {site.database.name} "
        "SET search_path = ahead, pg_catalog, public",
    )
    assert "3600.0 s ahead of" in found(site)["clock"]
    assert [*found(site)] == ["clock"]


def _nowhere() -> str:
    return f"{LOOPBACK}:{free_port()}"


def test_logins(site: Site) -> None:
    url = site.database.app_url
    site.set(database_url=url.replace("@", "x@"))
    assert [*found(site)] == ["database-login"]
    site.set(database_url=site.database.owner_url)
    assert "neither app_role" in found(site)["database-login"]
    site.set(database_url="not a URL at all")
    assert [*found(site)] == ["database-login"]
    site.set(database_url=site.database.sequencer_url)
    assert found(site) == {}


@pytest.mark.parametrize("url", ["wrong password", "not a URL", "postgresql://{}/x"])
def test_without_the_owner_nothing_of_its_is_checked(site: Site, url: str) -> None:
    right = site.database.owner_url
    wrong = right.replace("@", "x@") if url == "wrong password" else url
    site.set(owner_database_url=wrong.format(_nowhere()))
    status, checks = site.ask()
    assert (status, [*found(site)]) == (1, ["owner-login"])
    assert checks["grants"]["state"] == "unchecked"
    site.set(owner_database_url="")
    status, checks = site.ask()
    assert (status, [*found(site)]) == (2, [])
    assert checks["owner-login"]["state"] == "unchecked"


def test_settings_that_do_not_load(site: Site) -> None:
    site.set(group_votes=0)
    status, checks = site.ask()
    assert status == 1
    assert [*checks] == ["settings"]
    assert "group_votes" in checks["settings"]["sentence"]


def test_a_setting_that_is_missing(site: Site) -> None:
    site.set(jwt_issuer="")
    assert "VOTEPYRAMID_JWT_ISSUER" in found(site)["settings"]


def test_temporal_is_down(site: Site) -> None:
    site.set(temporal_address=_nowhere())
    status, checks = site.ask()
    assert (status, [*found(site)]) == (1, ["temporal"])
    assert checks["workers"]["state"] == "unchecked"


def test_a_network_that_ate_packets(site: Site) -> None:
    temporal = Wire(site.temporal)
    temporal.freeze()
    host = re.findall(r"@([^/]+)/", site.database.owner_url)[0]
    postgres = Wire(host)
    postgres.freeze()
    try:
        site.set(temporal_address=temporal.address)
        assert [*found(site)] == ["temporal"]
        site.set(temporal_address=site.temporal)
        away = site.database.owner_url.replace(host, postgres.address)
        site.set(owner_database_url=away)
        assert [*found(site)] == ["owner-login"]
    finally:
        temporal.cut()
        postgres.cut()


def test_no_namespace(site: Site) -> None:
    site.set(temporal_namespace="nowhere")
    assert [*found(site)] == ["namespace"]


def test_no_worker(site: Site) -> None:
    site.set(vote_task_queue="nobody-polls")
    assert found(site) == {"workers": "no worker polls nobody-polls"}


def test_a_closing_that_no_worker_takes(site: Site) -> None:
    queue = f"closing-{uuid.uuid4().hex[:8]}"
    site.set(closing_task_queue=queue)
    assert "workers" not in found(site)
    with_client(site, lambda c: c.start_workflow("any", id=queue, task_queue=queue))
    wanted = {"workers": f"no worker polls {queue}"}
    assert eventually(lambda: found(site) == wanted, 30)
    with_client(site, lambda c: c.get_workflow_handle(queue).terminate())


def test_another_schedule_than_the_settings(site: Site) -> None:
    site.set(archive_hours=168)
    assert [*found(site)] == ["retention", "schedule"]


def with_client(site: Site, act: Callable[[Client], object], **how: str) -> None:
    async def work() -> None:
        client = await Client.connect(site.temporal, **how)
        await act(client)  # type: ignore[misc]

    asyncio.run(work())


def test_a_paused_schedule(site: Site) -> None:
    name = f"{site.env['VOTEPYRAMID_UPKEEP_TASK_QUEUE']}/archive_histories"
    with_client(site, lambda c: c.get_schedule_handle(name).pause())
    try:
        assert [*found(site)] == ["schedule"]
        assert "is paused" in found(site)["schedule"]
    finally:
        with_client(site, lambda c: c.get_schedule_handle(name).unpause())
    assert found(site) == {}


def test_a_namespace_without_search_attributes(site: Site) -> None:
    name = f"bare-{uuid.uuid4().hex[:8]}"
    kept = RegisterNamespaceRequest(
        namespace=name,
        workflow_execution_retention_period=Duration(seconds=7 * 86400),
    )
    with_client(site, lambda c: c.workflow_service.register_namespace(kept))
    site.set(temporal_namespace=name)
    known = lambda: "namespace" not in found(site)  # noqa: E731 - waited for
    assert eventually(known, 30)
    # An empty namespace has no schedule and no workers either.
    assert eventually(
        lambda: [*found(site)] == ["search-attributes", "schedule", "workers"], 30
    )


def test_a_workflow_that_needs_attention(site: Site) -> None:
    queue = handle = f"stuck-{uuid.uuid4().hex[:8]}"
    site.set(vote_task_queue=queue)
    flagged = TypedSearchAttributes([SearchAttributePair(ATTENTION, True)])
    start = {"id": handle, "task_queue": queue, "search_attributes": flagged}
    with_client(site, lambda c: c.start_workflow("anything", **start))
    try:
        wanted = ["workers", "waiting-work"]
        assert eventually(lambda: [*found(site)] == wanted, 30)
    finally:
        with_client(site, lambda c: c.get_workflow_handle(handle).terminate())


def _own_keys(site: Site) -> tuple[Path, Path]:
    """Copies of the key files, to be spoiled."""
    paths = []
    for name in ("codec_keys_file", "kek_file"):
        path = Path(site.env[f"VOTEPYRAMID_{name.upper()}"])
        own = site.folder / path.name
        shutil.copy(path, own)
        site.set(**{name: own})
        paths.append(own)
    return paths[0], paths[1]


def test_payload_keys(site: Site) -> None:
    codec, _ = _own_keys(site)
    assert found(site) == {}
    codec.chmod(0o644)
    assert "chmod 600" in found(site)["codec-keys"]
    codec.unlink()
    assert [*found(site)] == ["codec-keys"]


def test_key_encryption_keys(site: Site) -> None:
    make_election(site.database, site.env)
    _, kek = _own_keys(site)
    kek.unlink()
    assert [*found(site)] == ["key-provider"]
    LocalKeyFile.create(kek)
    assert "which no setting names" in found(site)["key-encryption-keys"]
    assert [*found(site)] == ["key-encryption-keys"]


def test_entries_that_wait_for_their_log(site: Site) -> None:
    make_election(site.database, site.env)
    site.sql("UPDATE log_queue SET queued_at = now() - interval '1 hour'")
    assert "audit log of demo" in found(site)["sequencer"]
    assert [*found(site)] == ["sequencer"]


def test_the_folder_of_checkpoints(site: Site) -> None:
    folder = Path(site.env["VOTEPYRAMID_CHECKPOINT_FOLDER"])
    make_election(site.database, site.env)
    Keeping(folder).set_aside(Log("demo", RECEIPTS), "the log was set back")
    assert found(site) == {"stopped-logs": "set aside: the log was set back"}
    shutil.rmtree(folder)
    assert [*found(site)] == ["checkpoint-folder"]
    folder.write_text("a file")
    assert [*found(site)] == ["checkpoint-folder"]


def test_a_folder_that_is_behind(site: Site) -> None:
    make_election(site.database, site.env)
    site.sql(
        "INSERT INTO log_heads (election, kind, size, root, checkpoint_size) "
        "VALUES ('demo', 'receipts', 5, '\\x00', 5)"
    )
    assert "5 entries are public, kept is 0" in found(site)["kept-checkpoints"]
    assert [*found(site)] == ["kept-checkpoints"]


def test_a_database_that_was_set_back(site: Site) -> None:
    election = make_election(site.database, site.env)
    folder = Path(site.env["VOTEPYRAMID_CHECKPOINT_FOLDER"])
    _sequence(site)
    assert found(site) == {}
    site.sql("UPDATE log_heads SET size = 1, checkpoint_size = 1")
    assert f"audit log of {election.id}" in found(site)["kept-checkpoints"]
    (folder / f"{election.id}.audit.checkpoint").write_text("nothing of the kind")
    assert "cannot be read" in found(site)["kept-checkpoints"]


def _sequence(site: Site) -> None:
    env = {**site.env, "VOTEPYRAMID_DATABASE_URL": site.database.sequencer_url}
    ran = subprocess.run(
        [VOTEPYRAMID, "log", "sequence", "--once"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr


def test_elections(site: Site) -> None:
    make_election(site.database, site.env)
    site.sql(
        "UPDATE elections SET opens_at = now() - interval '9 d', "
        "closes_at = now() - interval '2 d'"
    )
    assert found(site) == {
        "endings": "for over a day: demo is past its closing time and not closed"
    }
    site.sql(
        "UPDATE elections SET status = 'closed', closed_at = now() - interval '2 d'"
    )
    assert "demo is closed and not finished" in found(site)["endings"]
    status, _ = site.ask()
    assert status == 0
    site.sql("UPDATE elections SET opened_at = now() - interval '20 h'")
    assert "none was ever finished" in found(site)["archive"]


def test_every_check_is_in_the_runbook() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    part = text.split("## What votepyramid doctor finds")[1]
    rows = re.findall(r"^\| `([a-z-]+)` \|", part, re.MULTILINE)
    assert rows == [check.name for check in all_checks(Settings())]
