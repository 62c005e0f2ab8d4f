"""Routes of the claim pool."""

from __future__ import annotations

from pyramid.config import Configurator


def includeme(config: Configurator) -> None:
    config.add_route("tokens.claim", "/api/elections/{election}/tokens/claim/")
    config.scan("votepyramid.tokens.views")
