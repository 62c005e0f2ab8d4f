"""Routes of the claim pool."""

from __future__ import annotations

from pyramid.config import Configurator


def includeme(config: Configurator) -> None:
    config.add_route("tokens.claim", "/api/elections/{election}/tokens/claim/")
    config.add_route(
        "tokens.none_issued", "/api/elections/{election}/tokens/none-issued/"
    )
    config.scan("votepyramid.tokens.views")
