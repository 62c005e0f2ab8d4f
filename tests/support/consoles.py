"""Temporal's web console as its page behaves: what it asks the codec server, and how.

The page fetches histories from the console's server and sends, one call a field, all
that is called `payloads` or `encodedAttributes` to `POST {endpoint}/decode`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx2

from votepyramid.stack.devserver import DevServer


def history(temporal: DevServer, namespace: str, workflow_id: str) -> list[Any]:
    """A workflow's events, as the console's own server gives them to the page."""
    found = httpx2.get(
        f"{temporal.ui_url}/api/v1/namespaces/{namespace}/workflows/"
        f"{quote(workflow_id, safe='')}/history"
    )
    assert found.status_code == 200, found.text
    events: list[Any] = found.json()["history"]["events"]
    return events


def description(temporal: DevServer, namespace: str, workflow_id: str) -> Any:
    """What the console shows of a workflow, pending activities with their failures."""
    found = httpx2.get(
        f"{temporal.ui_url}/api/v1/namespaces/{namespace}/workflows/"
        f"{quote(workflow_id, safe='')}"
    )
    assert found.status_code == 200, found.text
    return found.json()


def decoded(value: Any, decode: Callable[[list[Any]], list[Any]]) -> Any:
    """A document with every field that the page has decoded."""
    if isinstance(value, list):
        return [decoded(one, decode) for one in value]
    if not isinstance(value, dict):
        return value
    made = dict(value)
    for name, inner in value.items():
        if name == "payloads":
            made[name] = decode(inner)
        elif name == "encodedAttributes":
            (made[name],) = decode([inner])
        else:
            made[name] = decoded(inner, decode)
    return made
