"""The administrators' application: never in one process with the public doors."""

from __future__ import annotations

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.router import Router

from admin_ui.services import AdminServices, make_services
from votepyramid.settings import Settings


def make_app(settings: Settings) -> Router:
    """Raises SettingsError with what to set."""
    config = Configurator()
    config.registry["services"] = make_services(settings)
    config.set_request_factory(_Request)
    config.include("admin_ui.routes")
    return config.make_wsgi_app()


class _Request(Request):  # type: ignore[misc]
    @property
    def services(self) -> AdminServices:
        services: AdminServices = self.registry["services"]
        return services
