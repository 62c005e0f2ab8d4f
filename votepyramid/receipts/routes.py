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
    config.add_route(
        "log.consistency", "/api/elections/{election}/log/consistency/{old}/{new}"
    )
    config.add_route(
        "log.audit_checkpoint", "/api/elections/{election}/audit-log/checkpoint"
    )
    config.add_route("log.tile", "/api/elections/{election}/log/tile/{path:.*}")
    config.add_route("statement.closing", "/api/elections/{election}/statement/closing")
    config.add_route("absence", "/api/elections/{election}/absence/{tag}")
    config.scan("votepyramid.receipts.views")
