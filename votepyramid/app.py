"""The web application: its table of contents."""

from __future__ import annotations

from typing import Any

from pyramid.config import Configurator
from pyramid.router import Router

from votepyramid.settings import Settings
from votepyramid.web.services import make_services


def main(global_config: dict[str, str], **settings: str) -> Router:
    """Make the WSGI application. Raises SettingsError with what to set."""
    del global_config
    return configure(Settings.load(settings)).make_wsgi_app()


def configure(settings: Settings) -> Configurator:
    """The configured application, before it is sealed."""
    config = Configurator()
    services = make_services(settings)
    config.registry["services"] = services
    config.add_request_method(_services, "services", reify=True)

    # Around every door: problem documents, security headers, who is asking, views
    # that must say what they are; liveness, readiness, metrics.
    config.include("votepyramid.web.routes")
    # What an election is: its state and its signed manifest.
    config.include("votepyramid.elections.routes")
    # Receipts, from Postgres alone.
    config.include("votepyramid.receipts.routes")
    # The two doors; a process opens those of its roles.
    if services.claiming is not None:
        config.include("votepyramid.tokens.routes")
    if services.casting is not None:
        config.include("votepyramid.votes.routes")
    return config


def _services(request: Any) -> Any:
    return request.registry["services"]
