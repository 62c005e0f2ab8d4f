"""Opening payloads for Temporal's web console.

The console sends whatever it shows: sealed payloads of ours, and what Temporal and its
SDK wrote in the plain. As Temporal's own codec servers do, what is not ours goes back
as it came. So does a sealed payload that cannot be opened: one that was damaged, moved
or forged must not hide its neighbours, and it stays visibly sealed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from temporalio.api.common.v1 import Payload

from votepyramid.engine.codec import ENCODING, PLACE, SealedPayloads
from votepyramid.errors import Code, Refused
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.provider import KeyProviderError

MAX_PAYLOADS = 1000
MAX_METADATA = 16
_NAMESPACE = re.compile(r"[A-Za-z0-9._-]{1,255}")
# Protobuf's JSON of a Payload; the last is Temporal's own and none of our business.
_MEMBERS = {"metadata", "data", "externalPayloads"}


@dataclass(frozen=True)
class Opened:
    """The answer, and what a log may say of it.

    `places` are "namespace/workflow id" of what was opened, in order, each once.
    `namespace` is None where nothing was: then it is any word that somebody sent.
    """

    payloads: list[dict[str, Any]]
    places: list[str]
    opened: int
    unreadable: int
    namespace: str | None


class Decoder:
    """Opens with a local key ring; never seals. Threads may share it."""

    def __init__(self, codec_keys_file: str) -> None:
        self._codec = SealedPayloads(LocalKeyFile(codec_keys_file))

    def decode(self, namespace: str | None, document: Any) -> Opened:
        """The payloads of `{"payloads": […]}`, protobuf's JSON of Payloads.

        `namespace` is where the console shows them; what was sealed for another one
        stays sealed. Raises Refused: MALFORMED with `errors`.
        """
        if namespace is None or not _NAMESPACE.fullmatch(namespace):
            raise malformed("X-Namespace", "must be the name of a namespace")
        answer: list[dict[str, Any]] = []
        places: dict[str, None] = {}
        opened = unreadable = 0
        for given, payload in _payloads(document):
            if payload.metadata.get("encoding") != ENCODING:
                answer.append(given)
                continue
            place = payload.metadata.get(PLACE, b"")
            try:
                if not place.startswith(f"{namespace}/".encode()):
                    raise KeyProviderError("sealed for another namespace")
                answer.append(_json(self._codec.open(payload)))
            except KeyProviderError:
                answer.append(given)
                unreadable += 1
                continue
            places[place.decode(errors="replace")] = None
            opened += 1
        named = namespace if opened else None
        return Opened(answer, list(places), opened, unreadable, named)


def malformed(field: str, problem: str) -> Refused:
    """A refusal that names what to correct."""
    errors = [{"field": field, "problem": problem}]
    return Refused(Code.MALFORMED, extras={"errors": errors})


def _payloads(document: Any) -> list[tuple[dict[str, Any], Payload]]:
    if not isinstance(document, dict) or set(document) != {"payloads"}:
        raise malformed("", "must be an object with the one member payloads")
    given = document["payloads"]
    if not isinstance(given, list):
        raise malformed("payloads", "must be a list")
    if len(given) > MAX_PAYLOADS:
        raise malformed("payloads", f"must have at most {MAX_PAYLOADS} items")
    return [(one, _payload(one)) for one in given]


def _payload(given: Any) -> Payload:
    if not isinstance(given, dict) or not set(given) <= _MEMBERS:
        raise malformed("payloads", "must hold payloads: metadata and data")
    metadata = given.get("metadata", {})
    if not isinstance(metadata, dict) or len(metadata) > MAX_METADATA:
        raise malformed("payloads", f"metadata has at most {MAX_METADATA} members")
    return Payload(
        metadata={name: _bytes(text) for name, text in metadata.items()},
        data=_bytes(given.get("data", "")),
    )


def _bytes(text: Any) -> bytes:
    try:
        if isinstance(text, str):
            return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise malformed("payloads", "metadata and data are base64 with padding")


def _json(payload: Payload) -> dict[str, Any]:
    metadata: Mapping[str, bytes] = payload.metadata
    return {
        "metadata": {name: _text(value) for name, value in sorted(metadata.items())},
        "data": _text(payload.data),
    }


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
