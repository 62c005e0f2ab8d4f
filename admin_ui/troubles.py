"""Pages for what went wrong: what it is, whether anything was changed, what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from pyramid.config import Configurator
from pyramid.exceptions import URLDecodeError
from pyramid.httpexceptions import (
    HTTPException,
    HTTPForbidden,
    HTTPNotFound,
    HTTPRedirection,
    HTTPSeeOther,
)
from pyramid.renderers import render_to_response
from pyramid.response import Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from admin_ui.addresses import local
from admin_ui.downloads import DownloadsBusy
from admin_ui.forms import FormInvalid
from admin_ui.manual import RUNBOOK
from admin_ui.policy import (
    ForeignOrigin,
    NotRecent,
    NotSignedIn,
    SecondFactorDue,
    SecondFactorMissing,
)
from admin_ui.rendering import sentence
from votepyramid.audit.asked_exports import ExportRefused
from votepyramid.auditors.folder import FolderError
from votepyramid.db import is_fault
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.engine.control import TemporalAway, TemporalRefuses, WorkRefused
from votepyramid.errors import PROBLEMS, Code, Refused
from votepyramid.keys.provider import KeyProviderError
from votepyramid.orders.service import OrderRefused
from votepyramid.web.problems import log_part_away, log_unexpected

log = structlog.get_logger(__name__)


def page(request: Any, status: int, title: str, *said: str, **more: Any) -> Response:
    """A page that says what went wrong and what to do."""
    values = {"title": title, "said": said, **more}
    response = render_to_response("trouble.jinja2", values, request=request)
    response.status_code = status
    return response


def _not_signed_in(_error: Exception, request: Any) -> Response:
    return _led(request, "sign_in") or page(
        request,
        401,
        "You are not signed in",
        "Your session is over, and nothing was changed. Sign in and do it again.",
        link=(request.route_path("sign_in"), "Sign in"),
    )


def _second_factor_due(_error: Exception, request: Any) -> Response:
    return _led(request, "second_factor") or page(
        request,
        401,
        "You have not shown your security key",
        "Nothing was changed. Show your key and do it again.",
        link=(request.route_path("second_factor"), "Show your security key"),
    )


def _led(request: Any, route: str) -> Response | None:
    """To a page that comes before; None when something was to be changed."""
    if "HX-Request" in request.headers:
        # A page that renews itself: a redirect would be followed into its middle.
        address = request.route_path(route)
        return Response(status=401, headerlist=[("HX-Redirect", address)])
    if request.method not in ("GET", "HEAD"):
        return None
    query = {"next": request.path_qs} if request.path_qs != "/" else {}
    return HTTPSeeOther(request.route_path(route, _query=query))


def _second_factor_missing(_error: Exception, request: Any) -> Response:
    return page(
        request,
        403,
        "Register a security key first",
        "A passphrase alone, or a sign-in elsewhere, must not be enough for what an "
        "administrator does. Nothing was changed.",
        link=(request.route_path("account.key"), "Register a security key"),
    )


def _not_recent(_error: Exception, request: Any) -> Response:
    back = request.path_qs if request.method in ("GET", "HEAD") else request.referrer
    query = {"next": local(request, back)}
    return HTTPSeeOther(request.route_path("sign_in_again", _query=query))


def _foreign(_error: Exception, request: Any) -> Response:
    log.warning("foreign_origin", route=request.matched_route.name)
    return page(
        request,
        403,
        "This did not come from these pages",
        "Another site tried to change something in your name, or your browser hides "
        "where a request comes from. Nothing was changed.",
        f"These pages are at {request.services.origin}: open them there.",
    )


def _forbidden(error: HTTPForbidden, request: Any) -> Response:
    why = getattr(error.result, "msg", "")
    return page(
        request,
        403,
        "Your roles do not allow this",
        f"This page is {why}." if why else "This page is not for you.",
        "An administrator can give you another role.",
    )


def _not_found(_error: Exception, request: Any) -> Response:
    return page(
        request,
        404,
        "There is no such page",
        "What it showed may have been removed, or the address is mistyped.",
        link=(request.route_path("now"), "Now"),
    )


def _http(error: HTTPException, request: Any) -> Response:
    if isinstance(error, HTTPRedirection):
        return error
    return page(request, error.status_code, error.title, "Go back and try again.")


def _form(error: FormInvalid, request: Any) -> Response:
    return page(request, 400, "This form cannot be read", f"{error}.")


def _refused(error: Refused, request: Any) -> Response:
    if error.code is Code.ELECTION_UNKNOWN:
        return _not_found(error, request)
    if error.code is Code.UNAVAILABLE:
        # Only Postgres: nothing else is asked for by what a page reads.
        return _away(error.__cause__ or error, request)
    problem = PROBLEMS[error.code]
    said = error.detail or problem.advice
    return page(request, problem.status, problem.title, said)


def _away(error: BaseException, request: Any) -> Response:
    if isinstance(error, DBAPIError) and not is_fault(error):
        return _unexpected(error, request)
    log_part_away(type(error).__name__)
    request.postgres_away = True
    route = getattr(request.matched_route, "name", None)
    template = "now_away.jinja2" if route == "now" else "trouble.jinja2"
    title = "Postgres does not answer"
    said = (
        "Votes wait, and nothing can be shown or changed until it does. Start it, or "
        "where it runs look at its log, and whether its disk is full or hangs."
    )
    # Who comes back from the identity provider is signed in, or bound to it, by a GET.
    if request.method not in ("GET", "HEAD") or route == "callback":
        said += " What you asked for may have been done, or not: look at it again."
    entry = request.route_path(
        "manual.entry", document=RUNBOOK, entry="votepyramiddatabasefails"
    )
    values = {"title": title, "said": [said], "link": (entry, "What to do")}
    response = render_to_response(template, values, request=request)
    response.status_code = 503
    return response


def _temporal_away(_error: Exception, request: Any) -> Response:
    said = "Votes wait, and none is lost. Start Temporal, or look at its log."
    return _of_temporal(request, "TemporalAway", "Temporal does not answer", said)


def _temporal_refuses(error: Exception, request: Any) -> Response:
    said = f"Votes may go on, and none is lost. {sentence(str(error))}"
    return _of_temporal(request, "TemporalRefuses", "Temporal refuses this", said)


def _of_temporal(request: Any, logged: str, title: str, said: str) -> Response:
    log_part_away(logged)
    if request.method not in ("GET", "HEAD"):
        said += " What you asked for may have been done, or not: look at it again."
    link = request.route_path("work"), "Work"
    return page(request, 503, title, said, link=link)


def _sealed(_error: Exception, request: Any) -> Response:
    return page(
        request,
        503,
        "The workflow cannot be opened",
        "The payload keys of this process (codec_keys_file) do not open it: it is "
        "older than they are, or another installation's.",
    )


def _work_refused(error: WorkRefused, request: Any) -> Response:
    looked = request.method in ("GET", "HEAD")
    return page(
        request,
        404 if looked else 409,
        "There is no such workflow" if looked else "This cannot be done",
        sentence(str(error)),
        link=(request.route_path("work"), "Work"),
    )


def _folder(error: FolderError, request: Any) -> Response:
    log_part_away("FolderError")
    return page(
        request,
        503,
        "This export cannot be read",
        sentence(str(error)),
        "The folder exports_folder of these pages has to be the one that the exporting "
        "worker writes, and readable for them.",
        link=(request.route_path("audit.exports"), "Exports"),
    )


def _busy(_error: Exception, request: Any) -> Response:
    return page(
        request,
        503,
        "Too many downloads at once",
        "Others are being sent just now. Try again when one of them is done.",
        link=(request.route_path("audit.exports"), "Exports"),
    )


def _cannot(error: Exception, request: Any) -> Response:
    """An order, an export, or a step of an election."""
    return page(request, 409, "This cannot be done", sentence(str(error)))


def _unexpected(error: Exception, request: Any) -> Response:
    log_unexpected(error, request)
    return page(
        request,
        500,
        "Something is wrong with this program",
        "What you asked for was not done, or not to the end. The process's log has a "
        "line `unexpected` of this moment.",
    )


def add_troubles(config: Configurator) -> None:
    """A page for each thing that can go wrong, the narrowest first."""
    views: list[tuple[type[Exception], Callable[[Any, Any], Response]]] = [
        (NotSignedIn, _not_signed_in),
        (SecondFactorDue, _second_factor_due),
        (SecondFactorMissing, _second_factor_missing),
        (NotRecent, _not_recent),
        (ForeignOrigin, _foreign),
        (HTTPForbidden, _forbidden),
        (HTTPNotFound, _not_found),
        (HTTPException, _http),
        (FormInvalid, _form),
        (URLDecodeError, _not_found),
        (Refused, _refused),
        (DBAPIError, _away),
        (PoolTimeout, _away),
        (TemporalRefuses, _temporal_refuses),
        (TemporalAway, _temporal_away),
        (KeyProviderError, _sealed),
        (WorkRefused, _work_refused),
        (FolderError, _folder),
        (DownloadsBusy, _busy),
        (ExportRefused, _cannot),
        (OrderRefused, _cannot),
        (CeremonyError, _cannot),
        (Exception, _unexpected),
    ]
    for context, view in views:
        config.add_exception_view(view, context=context)
