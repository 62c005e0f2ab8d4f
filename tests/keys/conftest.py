"""The places where key-encryption keys are, each started once a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.keys.openbao import Bao
from tests.keys.softhsm import Tokens


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
