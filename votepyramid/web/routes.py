"""Routes for whoever watches the process."""

from __future__ import annotations

from pyramid.config import Configurator


def includeme(config: Configurator) -> None:
    config.add_route("health.live", "/health/live")
    config.add_route("health.ready", "/health/ready")
    config.add_route("metrics", "/metrics")
    config.scan("votepyramid.web.views")
