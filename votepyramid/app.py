"""The web application: its table of contents."""

from __future__ import annotations

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.router import Router

from votepyramid.settings import Settings
from votepyramid.web.services import Services, make_services


def main(global_config: dict[str, str], **settings: str) -> Router:
    """Make the WSGI application. Raises SettingsError with what to set."""
    del global_config
    return configure(Settings.load(settings)).make_wsgi_app()


def configure(settings: Settings) -> Configurator:
    """The configured application, before it is sealed."""
    config = Configurator()
    services = make_services(settings)
    config.registry["services"] = services
    config.set_request_factory(_Request)

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


class _Request(Request):  # type: ignore[misc]
    # A property of the class: one added to each request makes Pyramid build a class
    # for each request.
    @property
    def services(self) -> Services:
        services: Services = self.registry["services"]
        return services
