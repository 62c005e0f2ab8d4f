"""What surrounds every door, and the routes for whoever watches the process."""

from __future__ import annotations

from pyramid.config import Configurator
from pyramid.tweens import EXCVIEW, INGRESS

from votepyramid.web.health import Readiness
from votepyramid.web.policy import VoterPolicy, add_policy
from votepyramid.web.problems import add_exception_views


def includeme(config: Configurator) -> None:
    config.add_tween("votepyramid.web.tweens.observed", under=INGRESS)
    config.add_tween(
        "votepyramid.web.tweens.counted",
        under="votepyramid.web.tweens.observed",
        over=EXCVIEW,
    )
    add_exception_views(config)
    add_policy(config, VoterPolicy())
    config.add_route("health.live", "/health/live")
    config.add_route("health.ready", "/health/ready")
    config.add_route("metrics", "/metrics")
    config.registry["readiness"] = Readiness(config.registry["services"])
    config.scan("votepyramid.web.views")
