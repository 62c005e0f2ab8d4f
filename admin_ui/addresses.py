"""Addresses of these pages: where to go on after signing in, and what redirects say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from pyramid.response import Response

from admin_ui.forms import FormInvalid


def local(request: Any, target: str | None) -> str:
    """The target if it is an address of these pages, else the first page's."""
    try:
        parts = urlsplit(target or "")
    except ValueError:
        # Such as "//[", which begins an address of IPv6 and goes no further.
        return "/"
    if f"{parts.scheme}://{parts.netloc}" == request.services.origin:
        parts = parts._replace(scheme="", netloc="")
    path = parts.geturl()
    # No header and no table takes these.
    if not path.isprintable():
        return "/"
    # A browser reads // and /\ as the beginning of another host.
    if parts.scheme or parts.netloc or not path.startswith("/") or path[1:2] in "/\\":
        return "/"
    return path


def wanted(request: Any) -> str:
    """Where the address says that one wanted to be, if that is on these pages."""
    try:
        return local(request, request.GET.get("next"))
    except FormInvalid:
        return "/"


def at_the_origin(
    handler: Callable[[Any], Response], registry: Any
) -> Callable[[Any], Response]:
    """A tween: redirects lead to `admin_origin`, whatever a proxy says of itself.

    Behind TLS they would lead to http, which browsers refuse after a form.
    """
    parts = urlsplit(registry["services"].origin)

    def tween(request: Any) -> Response:
        request.environ["wsgi.url_scheme"] = parts.scheme
        request.environ["HTTP_HOST"] = parts.netloc
        return handler(request)

    return tween
