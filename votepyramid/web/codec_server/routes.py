"""The codec server's routes, and what surrounds them."""

from __future__ import annotations

from pyramid.config import Configurator
from pyramid.tweens import EXCVIEW, INGRESS

from votepyramid.web.codec_server.policy import OperatorPolicy
from votepyramid.web.policy import ANYONE, add_policy
from votepyramid.web.problems import add_exception_views
from votepyramid.web.views import live


def includeme(config: Configurator) -> None:
    config.add_tween("votepyramid.web.tweens.observed", under=INGRESS)
    config.add_tween("votepyramid.web.codec_server.tweens.shared", over=EXCVIEW)
    add_exception_views(config)
    add_policy(config, OperatorPolicy())
    config.add_route("health.live", "/health/live")
    config.add_view(
        live,
        route_name="health.live",
        request_method="GET",
        permission=ANYONE,
        renderer="json",
    )
    config.add_route("codec.decode", "/decode")
    config.add_route("codec.encode", "/encode")
    if config.registry["services"].sessions is not None:
        config.add_route("codec.page", "/")
        config.add_route("codec.session", "/session")
        config.scan("votepyramid.web.codec_server.signing_in")
    config.scan("votepyramid.web.codec_server.views")
