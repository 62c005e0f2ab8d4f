"""Routes for receipts; every public process serves them."""

from __future__ import annotations

from pyramid.config import Configurator


def includeme(config: Configurator) -> None:
    config.add_route(
        "receipts.show", "/api/elections/{election}/receipt/{receipt_hash}/"
    )
    config.add_route(
        "receipts.proof", "/api/elections/{election}/receipt/{receipt_hash}/proof"
    )
    config.add_route("log.checkpoint", "/api/elections/{election}/log/checkpoint")
    config.add_route("log.tile", "/api/elections/{election}/log/tile/{path:.*}")
    config.scan("votepyramid.receipts.views")
