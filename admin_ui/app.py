"""The administrators' application: never in one process with the public doors."""

from __future__ import annotations

from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.router import Router

from admin_ui.forms import FormInvalid
from admin_ui.services import AdminServices, make_services
from votepyramid.settings import Settings

# What WebOb and the parser below it make of a form without a boundary, of another
# charset or encoding, or one that breaks off.
_UNREADABLE = (ValueError, LookupError, DeprecationWarning)


def make_app(settings: Settings) -> Router:
    """Raises SettingsError with what to set."""
    config = Configurator()
    config.registry["services"] = make_services(settings)
    config.set_request_factory(_Request)
    config.include("admin_ui.routes")
    return config.make_wsgi_app()


class _Request(Request):  # type: ignore[misc]
    @property
    def GET(self) -> Any:  # noqa: N802
        """What the address asks for. Raises FormInvalid where it is no text."""
        try:
            return super().GET
        except UnicodeDecodeError:
            raise FormInvalid("The address is not UTF-8") from None

    @property
    def POST(self) -> Any:  # noqa: N802
        """The form. Raises FormInvalid for what nobody can read as one."""
        try:
            return super().POST
        except _UNREADABLE:
            raise FormInvalid("What was sent is no form, or not in UTF-8") from None

    @property
    def services(self) -> AdminServices:
        services: AdminServices = self.registry["services"]
        return services
