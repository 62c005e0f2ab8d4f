"""Views must say what they are: a forgotten permission stops the start."""

from __future__ import annotations

from typing import Any

import pytest
from pyramid.config import Configurator
from pyramid.exceptions import ConfigurationError
from pyramid.response import Response

from votepyramid.web.policy import ANYONE, VoterPolicy, add_policy


def make(**options: Any) -> None:
    """Start an application with one view of these options."""
    config = Configurator()
    add_policy(config, VoterPolicy())
    config.add_route("door", "/door")
    config.add_view(_view, route_name="door", **options)
    config.commit()


def _view(_request: Any) -> Response:
    return Response(b"")


def test_a_view_that_says_all() -> None:
    make(permission=ANYONE, request_method="GET")
    make(permission="claim", request_method="POST", unsafe=True)
    make(permission="claim", request_method=("GET", "POST"), unsafe=True)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"request_method": "GET"}, "declares no permission"),
        ({"request_method": "POST", "unsafe": True}, "declares no permission"),
        ({"permission": ANYONE}, "declares no request_method"),
        ({"permission": "claim", "unsafe": True}, "declares no request_method"),
        (
            {"permission": ANYONE, "request_method": "POST"},
            "changes things without unsafe=True",
        ),
        (
            {"permission": "claim", "request_method": ("GET", "DELETE")},
            "changes things without unsafe=True",
        ),
        (
            {"permission": "claim", "request_method": "POST", "unsafe": False},
            "changes things without unsafe=True",
        ),
    ],
)
def test_a_view_that_does_not(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=f"view _view {problem}"):
        make(**options)


def test_an_unknown_permission_is_nobodys() -> None:
    config = Configurator()
    add_policy(config, VoterPolicy())
    config.add_route("door", "/door")
    config.add_view(_view, route_name="door", permission="tally", request_method="GET")
    from webtest import TestApp

    TestApp(config.make_wsgi_app()).get("/door", status=403)
