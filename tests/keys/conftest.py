"""The places where key-encryption keys are, each started once a session; a database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.keys.kms import KeyFile, Moto, Place, Token, Transit
from tests.keys.openbao import Bao
from tests.keys.softhsm import Tokens
from tests.support.databases import Database
from tests.support.needs import needs
from votepyramid.db import make_engine

PLACES = [
    pytest.param("file"),
    pytest.param("pkcs11", marks=needs("softhsm2")),
    pytest.param("aws"),
    pytest.param("vault", marks=needs("openbao")),
]


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    """SoftHSM with tokens to use, to lose and to lock. `needs("softhsm2")`.

    All at once: the library does not see a token that is made after it was loaded.
    """
    made = Tokens(tmp_path_factory.mktemp("softhsm"))
    for token in ("votepyramid", "portable", "locked"):
        made.make_token(token)
    return made


@pytest.fixture(scope="session")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    """OpenBao with a transit engine. `needs("openbao")`."""
    with Bao.running(tmp_path_factory.mktemp("openbao")) as running:
        yield running


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A KMS without the keys of other tests: see `kms.fresh`."""
    if request.param == "aws":
        with Moto.running() as moto:
            yield moto
    elif request.param == "file":
        yield KeyFile(tmp_path)
    elif request.param == "pkcs11":
        yield Token(request.getfixturevalue("tokens"))
    else:
        yield Transit(request.getfixturevalue("bao"))


@pytest.fixture
def owner(database: Database) -> Iterator[Engine]:
    """With the owner's role."""
    engine = make_engine(database.owner_url, pool_size=8)
    yield engine
    engine.dispose()
