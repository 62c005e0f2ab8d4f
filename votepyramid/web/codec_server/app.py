"""The codec server's application: one door for Temporal's web console."""

from __future__ import annotations

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.router import Router

from votepyramid.settings import Settings
from votepyramid.web.codec_server.services import CodecServices, make_services


def make_app(settings: Settings) -> Router:
    """Raises SettingsError or KeyProviderError with what to set."""
    config = Configurator()
    config.registry["services"] = make_services(settings)
    config.set_request_factory(_Request)
    config.include("votepyramid.web.codec_server.routes")
    return config.make_wsgi_app()


class _Request(Request):  # type: ignore[misc]
    @property
    def services(self) -> CodecServices:
        services: CodecServices = self.registry["services"]
        return services
