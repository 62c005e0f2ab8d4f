"""Routes for receipts; every public process serves them."""

from __future__ import annotations

from pyramid.config import Configurator


def includeme(config: Configurator) -> None:
    config.add_route(
        "receipts.show", "/api/elections/{election}/receipt/{receipt_hash}/"
    )
    config.scan("votepyramid.receipts.views")
