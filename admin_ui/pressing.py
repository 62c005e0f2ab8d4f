"""An order goes on by itself where somebody pressed for it, not where it is looked at.

Pressing leaves a cookie that one look at the order's page uses up. So an address that
was kept, sent or opened again the next day carries nothing out.
"""

from __future__ import annotations

import uuid
from typing import Any

from pyramid.httpexceptions import HTTPSeeOther

from admin_ui.policy import cookie_name

# From the press to the page that it leads to.
_SECONDS = 30


def pressed(request: Any, order: uuid.UUID) -> HTTPSeeOther:
    """On to the order's page, which goes on with it."""
    response = HTTPSeeOther(request.route_path("order", order=order))
    response.set_cookie(
        _name(request, order),
        "1",
        max_age=_SECONDS,
        path="/",
        secure=request.services.origin.startswith("https:"),
        httponly=True,
        samesite="Strict",
    )
    return response


def was_pressed(request: Any, order: uuid.UUID) -> bool:
    """Whether this look follows on a press; the next one does not."""
    if _name(request, order) not in request.cookies:
        return False
    request.response.delete_cookie(_name(request, order), path="/")
    return True


def _name(request: Any, order: uuid.UUID) -> str:
    return f"{cookie_name(request)}-{order.hex}"
