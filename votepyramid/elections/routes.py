"""Routes of elections: what they are, for anyone."""

from __future__ import annotations

from pyramid.config import Configurator


def includeme(config: Configurator) -> None:
    config.add_route("election", "/api/elections/{election}/")
    config.add_route("election.manifest", "/api/elections/{election}/manifest/")
    config.scan("votepyramid.elections.views")
