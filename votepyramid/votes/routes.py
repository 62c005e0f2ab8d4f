"""Routes of the cast pool."""

from __future__ import annotations

from pyramid.config import Configurator


def includeme(config: Configurator) -> None:
    config.add_route("votes.cast", "/api/elections/{election}/vote/")
    config.scan("votepyramid.votes.views")
