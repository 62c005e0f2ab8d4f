"""docs/openapi.yaml is what the running application does, no more and no less.

Everything that is documented is given here once, by hand: each operation, status and
code, with a success for every operation. `test_fuzzing.py` sends the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator

from tests.support.elections import Listed, MadeElection
from tests.support.processes import Running, start_web, stopping
from tests.support.voting import OTHER_SELECTIONS, Ballot, Door
from tests.web import document
from tests.web.conftest import Site
from tests.web.document import Given, Ledger
from tests.web.logs import read_the_log
from votepyramid.app import configure
from votepyramid.elections import manifest
from votepyramid.errors import PROBLEMS, Code
from votepyramid.protocol.encoding import b64u, unb64u
from votepyramid.settings import Settings
from votepyramid.stack import credentials
from votepyramid.stack.ports import LOOPBACK, free_port

ZEROS = "0" * 64
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Odd:
    """Web processes on the site's database that cannot do all of their work."""

    waiting: Running
    full: Running
    issuing: Running
    blind: Running


@pytest.fixture(scope="module")
def odd(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Odd]:
    folder = tmp_path_factory.mktemp("odd")
    env = {**site.engine.env, "VOTEPYRAMID_ANSWER_TIMEOUT": "0.3"}
    unpolled = {"VOTEPYRAMID_VOTE_TASK_QUEUE": "nobody-polls-this"}
    nowhere = f"postgresql://nobody:x@{LOOPBACK}:{free_port()}/nothing"

    def web(name: str, roles: str, **settings: str) -> Running:
        changed = {f"VOTEPYRAMID_{k.upper()}": v for k, v in settings.items()}
        started = {**env, **changed}
        return start_web(started, folder, name=name, roles=roles, wait=False)

    made = Odd(
        waiting=start_web(
            {**env, **unpolled}, folder, name="waiting", roles="cast", wait=False
        ),
        full=web("full", "claim cast", waiting_bound="0"),
        issuing=web("issuing", "claim"),
        blind=web("blind", "claim cast", database_url=nowhere),
    )
    started = (made.waiting, made.full, made.issuing, made.blind)
    with stopping(*started):
        for program in started:
            program.wait_ready()
        yield made


def test_everything_documented_is_given(site: Site, odd: Odd) -> None:
    ledger = Ledger()
    _ask_about_elections(ledger, site, odd)
    _claim(ledger, site, odd)
    _cast(ledger, site, odd)
    _refuse_ballots(ledger, site)
    _refuse_tokens(ledger, site)
    _wait_for_receipts(ledger, site, odd)
    read_the_log(ledger, site, odd.blind.url, odd.waiting.url)
    _operate(ledger, site, odd)
    assert ledger.given - document.documented() == set()
    assert document.documented() - ledger.given == set()
    # A success for every operation, not only refusals.
    successes = {given.operation for given in ledger.given if given.status == 200}
    assert successes == {o["operationId"] for _, _, o in document.operations()}


def _get(url: str, path: str) -> httpx2.Response:
    with httpx2.Client(base_url=url, timeout=30) as http:
        return http.get(path)


def _post(
    url: str,
    path: str,
    content: bytes = b"{}",
    headers: Mapping[str, str] = JSON,
) -> httpx2.Response:
    with httpx2.Client(base_url=url, timeout=30) as http:
        return http.post(path, content=content, headers=headers)


def _ask_about_elections(ledger: Ledger, site: Site, odd: Odd) -> None:
    for operation, rest in (("getElection", ""), ("getManifest", "manifest/")):
        path = f"/api/elections/demo/{rest}"
        ledger.check(operation, _get(site.url, path))
        ledger.check(operation, _get(site.url, path.replace("demo", "%ff")))
        ledger.check(operation, _get(site.url, path.replace("demo", "nobodys")))
        ledger.check(operation, _get(odd.blind.url, path))


def _claim(ledger: Ledger, site: Site, odd: Odd) -> None:
    def check(answer: httpx2.Response) -> None:
        ledger.check("claimToken", answer)

    door = site.door
    path = door.path("tokens/claim/")
    signed_in = {**JSON, "Authorization": f"Bearer {site.election.jwt('v0')}"}
    check(door.claim("v0"))
    check(_post(site.url, path, b'{"style":"UPPER"}', signed_in))
    check(_post(site.url, path))
    check(door.claim("v0", election="nobodys"))
    check(door.claim("v0", election="later"))
    check(door.claim("v0", election="over"))
    check(door.claim("not-on-the-roster"))
    check(_post(site.url, path, b" " * 5000, signed_in))
    check(_post(site.url, path, b"{}", {**signed_in, "Content-Type": "text/plain"}))
    check(Door(odd.waiting.url, site.election).claim("v0"))
    check(Door(odd.full.url, site.election).claim("v1"))
    check(Door(odd.blind.url, site.election).claim("v0"))
    slow = site.engine.make_election(
        id="rated-claims", rate={"claims_per_voter_per_minute": 1}
    )
    check(_limited(lambda: Door(site.url, slow).claim("v0")))
    revoked = site.engine.make_election(id="revoked")
    Door(site.url, revoked).token("v0")
    _revoke(revoked)
    check(Door(site.url, revoked).claim("v0"))


def _limited(request: Callable[[], httpx2.Response]) -> httpx2.Response:
    """The answer over the rate of one; three times, lest a minute ends between two."""
    answers = [request(), request(), request()]
    return next((a for a in answers if a.status_code == 429), answers[-1])


def _revoke(election: MadeElection) -> None:
    with election.sql() as db:
        db.execute(
            "UPDATE vote_tokens SET revoked_at = now() WHERE election = %s",
            (election.id,),
        )


def _cast(ledger: Ledger, site: Site, odd: Odd) -> None:
    def check(answer: httpx2.Response) -> None:
        ledger.check("castVote", answer)

    door = site.door
    path = door.path("vote/")
    ballot = door.ballot("v2")
    check(door.cast(ballot))
    check(door.post(b"not json"))
    check(door.post(ballot.body(), election="nobodys"))
    check(door.post(b" " * (129 * 1024)))
    check(_post(site.url, path, b"{}", {"Content-Type": "text/plain"}))
    check(Door(odd.issuing.url, site.election).cast(ballot))
    check(Door(odd.blind.url, site.election).cast(ballot))
    check(Door(odd.full.url, site.election).cast(door.ballot("v3")))
    slow = site.engine.make_election(
        id="rated-casts", rate={"casts_per_token_per_minute": 1}
    )
    other = Door(site.url, slow)
    once = other.ballot("v0")
    check(_limited(lambda: other.cast(once)))


def _refuse_ballots(ledger: Ledger, site: Site) -> None:
    door = site.door
    cast, used = door.ballot("v4"), door.ballot("v5")
    assert door.cast(cast).status_code == 200
    assert door.cast(used).status_code == 200
    ballot = door.ballot("v6")
    short = b64u(ballot.sealed.payload[:-1])
    for refused in (
        door.cast(ballot, manifest_hash=ZEROS),
        door.cast(ballot, style="south"),
        door.cast(ballot, suite="x25519-hkdf-sha256-aes256gcm"),
        door.cast(ballot, key_id=ZEROS),
        door.cast(ballot, payload=short),
        door.cast(ballot, payload=b64u(cast.sealed.payload)),
        door.cast(door.seal(used.bearer, OTHER_SELECTIONS)),
    ):
        assert refused.status_code in (409, 422), refused.text
        ledger.check("castVote", refused)
    # Nothing of that burnt the token.
    ledger.check("castVote", door.cast(ballot))


def _refuse_tokens(ledger: Ledger, site: Site) -> None:
    def check(answer: httpx2.Response) -> None:
        ledger.check("castVote", answer)

    def prepared(name: str, **options: Any) -> tuple[MadeElection, Door, Ballot]:
        election = site.engine.make_election(id=name, **options)
        door = Door(site.url, election)
        return election, door, door.ballot("v0")

    check(
        site.door.cast(
            site.door.ballot("v7"), token=ZEROS[:8] + "-0000" * 3 + "-" + ZEROS[:12]
        )
    )
    election, door, ballot = prepared("token-revoked")
    _revoke(election)
    check(door.cast(ballot))
    election, door, ballot = prepared("token-suspended")
    election.import_roster([Listed("v0", suspended=True)])
    check(door.cast(ballot))
    election, door, ballot = prepared("token-late", grace=0)
    election.close()
    check(door.cast(ballot))
    election, door, ballot = prepared("token-early")
    with election.sql() as db:
        db.execute(
            "UPDATE elections SET opens_at = now() + interval '1 minute' WHERE id = %s",
            (election.id,),
        )
    check(door.cast(ballot))


def _wait_for_receipts(ledger: Ledger, site: Site, odd: Odd) -> None:
    def check(answer: httpx2.Response) -> httpx2.Response:
        return ledger.check("getReceipt", answer)

    door, waiting = site.door, Door(odd.waiting.url, site.election)
    ballot = door.ballot("v8")
    answer = ledger.check("castVote", waiting.cast(ballot))
    assert answer.status_code == 202
    assert answer.headers["Location"] == answer.json()["status_url"]
    assert check(door.receipt(ballot.receipt_hash)).status_code == 202
    recorded = door.cast(ballot)
    accepted = check(_get(site.url, answer.json()["status_url"]))
    assert accepted.content == recorded.content
    refused = door.seal(door.token("v9"))
    assert door.cast(refused, suite="x25519-hkdf-sha256-aes256gcm").status_code == 422
    check(door.receipt(ZEROS))
    check(door.receipt("not-a-hash"))
    check(Door(odd.blind.url, site.election).receipt(ZEROS))
    rejected = door.receipt(_rejected_hash(site.election))
    assert check(rejected).json()["status"] == "rejected"


def _rejected_hash(election: MadeElection) -> str:
    """Of any ballot that was refused under a valid token."""
    query = (
        "SELECT receipt_hash FROM vote_submissions "
        "WHERE election = %s AND status = 'rejected'"
    )
    return str(election.count(query, election.id))


def _operate(ledger: Ledger, site: Site, odd: Odd) -> None:
    ledger.check("getLiveness", _get(site.url, "/health/live"))
    ledger.check("getReadiness", _get(site.url, "/health/ready"))
    ledger.check("getReadiness", _get(odd.blind.url, "/health/ready"))
    ledger.check("getMetrics", _get(site.url, "/metrics"))


def test_every_route_is_documented_and_the_other_way_round(tmp_path: Path) -> None:
    settings = Settings(
        environment="development",
        database_url="postgresql://nobody@localhost/nothing",
        **credentials.make(tmp_path),
    )
    config = configure(settings)
    config.commit()
    introspector = config.registry.introspector
    patterns = {
        route["introspectable"]["name"]: route["introspectable"]["pattern"]
        for route in introspector.get_category("routes")
    }
    # OpenAPI has no word for a parameter with slashes in it.
    patterns = {name: path.replace(":.*}", "}") for name, path in patterns.items()}
    served = {
        (declared["request_methods"].lower(), patterns[declared["route_name"]])
        for view in introspector.get_category("views")
        if (declared := view["introspectable"])["route_name"]
    }
    assert served == {(method, path) for method, path, _ in document.operations()}


def test_codes_and_statuses_are_those_of_the_table() -> None:
    for given in document.documented():
        if given.code:
            assert PROBLEMS[Code(given.code)].status == given.status, given
    # What no operation promises: a wrong address, our faults, the codec server's words.
    undocumented = set(Code) - {Code(g.code) for g in document.documented() if g.code}
    assert undocumented == {Code.METHOD_NOT_ALLOWED, Code.INTERNAL, Code.FORBIDDEN}


def test_every_refusal_names_its_codes() -> None:
    for _, path, operation in document.operations():
        for status, response in operation["responses"].items():
            media = document.resolve(response)["content"]
            if int(status) >= 400 and "application/problem+json" in media:
                assert document.codes(response), (path, status)
            for body in media.values():
                assert "schema" in body, (path, status)


def _examples(node: Any) -> Iterator[tuple[Any, Any]]:
    """(schema, example) of every media type that has examples."""
    if isinstance(node, dict):
        if "schema" in node:
            if "example" in node:
                yield node["schema"], node["example"]
            for example in node.get("examples", {}).values():
                yield node["schema"], example["value"]
        for value in node.values():
            yield from _examples(value)


def test_examples_are_valid() -> None:
    found = list(_examples(document.document()))
    assert len(found) > 8
    for schema, example in found:
        document.validator(schema).validate(example)


def test_examples_are_the_vectors() -> None:
    """So that a reader who tries the protocol on them gets what stands there."""
    folder = document.PATH.parents[1] / "tests" / "vectors"
    vector = json.loads((folder / "ballots.json").read_text(encoding="utf-8"))[0]
    answer = json.loads(vector["answer"])
    cast = next(
        operation["requestBody"]["content"]["application/json"]["example"]
        for _, _, operation in document.operations()
        if operation["operationId"] == "castVote"
    )
    assert cast["token"] == vector["bearer"]
    assert unb64u(cast["payload"]).hex() == vector["payload"]
    assert cast["style"] == vector["style"]
    assert unb64u(answer["leaf"]["m"]).hex() == cast["manifest_hash"]
    accepted = [
        example
        for _, example in _examples(document.document())
        if isinstance(example, dict) and example.get("status") == "accepted"
    ]
    assert accepted == [answer, answer]


def test_schemas_are_schemas() -> None:
    for schema in document.document()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_manifest_is_that_of_the_manifest_schema() -> None:
    """Both spelt out, without names and descriptions."""
    whole = manifest.schema()

    def plain(node: Any, definitions: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                node = definitions(node["$ref"])
                return plain(node, definitions)
            return {
                key: plain(value, definitions)
                for key, value in node.items()
                if not (key in _PROSE and isinstance(value, str)) and key != "$defs"
            }
        if isinstance(node, list):
            return sorted((plain(n, definitions) for n in node), key=str)
        return node

    ours = plain(whole, lambda ref: whole["$defs"][ref.rsplit("/", 1)[1]])
    documented = plain(
        document.document()["components"]["schemas"]["Manifest"],
        lambda ref: document.resolve({"$ref": ref}),
    )
    assert documented == ours


_PROSE = ("title", "description", "$schema", "$id")


def test_the_ledger_sees_a_wrong_answer() -> None:
    answer = httpx2.Response(
        200, json={"status": "alive"}, headers={"X-Request-Id": "0" * 16}
    )
    with pytest.raises(Exception, match="live"):
        Ledger().check("getLiveness", answer)
    undressed = httpx2.Response(200, json={"status": "live"})
    with pytest.raises(AssertionError, match="X-Request-Id"):
        Ledger().check("getLiveness", undressed)
    assert Given("getLiveness", 200) in document.documented()
