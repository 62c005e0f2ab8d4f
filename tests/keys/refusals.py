"""Refusals, and that nothing of them shows a key."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Callable, Iterator

import pytest

from votepyramid.keys.provider import KeyProviderError


def refused(call: Callable[[], object], secret: bytes = b"") -> KeyProviderError:
    """The refusal, when neither it nor what led to it shows the secret."""
    with pytest.raises(KeyProviderError) as caught:
        call()
    if secret:
        shown = "".join(_shown(caught.value))
        for form in (
            repr(secret)[2:-1],
            secret.hex(),
            base64.b64encode(secret).decode().rstrip("="),
            base64.urlsafe_b64encode(secret).decode().rstrip("="),
        ):
            assert form not in shown
    return caught.value


def _shown(error: BaseException | None) -> Iterator[str]:
    """What a log or a crash report may show of an error and of those behind it."""
    while error is not None:
        yield from traceback.format_exception(error, chain=False)
        yield repr((error.args, vars(error)))
        yield repr(getattr(getattr(error, "request", None), "body", b""))
        error = error.__cause__ or error.__context__
