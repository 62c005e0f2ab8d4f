"""The administrators' pages, by their addresses."""

from __future__ import annotations

from pyramid.config import Configurator
from pyramid.static import static_view
from pyramid.tweens import EXCVIEW, INGRESS

from admin_ui.policy import add_person_policy
from admin_ui.rendering import add_rendering
from admin_ui.troubles import add_troubles
from votepyramid.people.oidc.provider import CALLBACK
from votepyramid.web.policy import ANYONE
from votepyramid.web.views import live

YEAR_S = 365 * 86_400


def includeme(config: Configurator) -> None:
    config.add_tween("votepyramid.web.tweens.observed", under=INGRESS)
    config.add_tween("admin_ui.addresses.at_the_origin", over=EXCVIEW)
    add_person_policy(config)
    add_rendering(config)
    add_troubles(config)

    config.add_route("now", "/")
    config.add_route("work", "/work")
    config.include(_work, route_prefix="work")
    config.add_route("orders", "/orders")
    config.include(_orders, route_prefix="orders/{order}")
    config.add_route("elections", "/elections")
    # Not below /elections: an election may be named so.
    config.add_route("new_election", "/new-election")
    config.include(_election, route_prefix="elections/{election}")
    config.add_route("audit", "/audit")
    config.add_route("audit.voters", "/audit/voters")
    config.add_route("audit.checks", "/audit/checks")
    config.add_route("audit.exports", "/audit/exports")
    config.add_route("audit.export.download", "/audit/exports/{export}/download")
    config.add_route("audit.export.remove", "/audit/exports/{export}/remove")
    config.add_route("console", "/console")
    config.add_route("console.allowed", "/console/allowed")
    config.add_route("console.operator", "/console/operator")
    config.add_route("runbook", "/manual/runbook")
    config.add_route("manual", "/manual/{document}")
    config.add_route("manual.entry", "/manual/{document}/{entry}")
    config.add_route("people", "/people")
    config.add_route("person", "/people/{name}")
    config.add_route("person.act", "/people/{name}/{act}")

    _add_accounts(config)
    config.scan("admin_ui.views")

    _add_files(config)


def _add_files(config: Configurator) -> None:
    # Their addresses change with their content: see `rendering.asset`.
    config.add_route("static", "/static/*subpath")
    config.add_view(
        static_view("admin_ui:static", use_subpath=True, cache_max_age=YEAR_S),
        route_name="static",
        request_method="GET",
        permission=ANYONE,
    )
    config.add_route("health.live", "/health/live")
    config.add_view(
        live,
        route_name="health.live",
        request_method="GET",
        permission=ANYONE,
        renderer="json",
    )


def _add_accounts(config: Configurator) -> None:
    config.add_route("account", "/account")
    config.add_route("account.password", "/account/passphrase")
    config.add_route("account.session", "/account/session")
    config.add_route("account.identity", "/account/identity")
    config.add_route("account.identity.remove", "/account/identity/remove")
    config.add_route("account.key", "/account/keys/new")
    config.add_route("account.key.remove", "/account/keys/remove")
    config.add_route("sign_in", "/sign-in")
    config.add_route("second_factor", "/sign-in/second-factor")
    config.add_route("sign_in_again", "/sign-in/again")
    config.add_route("sign_in.provider", "/sign-in/provider")
    config.add_route("sign_in_again.provider", "/sign-in/again/provider")
    config.add_route("callback", CALLBACK)
    config.add_route("sign_out", "/sign-out")
    config.add_route("set_up", "/set-up")
    config.add_route("set_up.provider", "/set-up/provider")


def _orders(config: Configurator) -> None:
    config.add_route("order", "", inherit_slash=True)
    config.add_route("order.agree", "agree")
    config.add_route("order.decline", "decline")
    config.add_route("order.go_on", "go-on")
    config.add_route("order.stop", "stop")


def _election(config: Configurator) -> None:
    config.add_route("election", "", inherit_slash=True)
    config.add_route("election.statement", "statement")
    config.add_route("election.act", "acts/{act}")
    config.add_route("election.order", "orders/{order}")


def _work(config: Configurator) -> None:
    config.add_route("work.find", "find")
    config.add_route("work.act", "act")
    config.add_route("work.order", "order")
    config.add_route("work.all", "all")
    config.add_route("work.all.order", "all/order")
    # A workflow's id has slashes: it comes last, after all other pages.
    config.add_route("work.one", "{workflow_id:.+}")
