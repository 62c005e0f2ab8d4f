"""Workflow messages as JSON, by a parser that knows their types.

The SDK's own converter turns dataclasses into dicts and back in Python, value by
value; for a group of votes that took as long as recording them. The bytes are the
same "json/plain", so histories of either are read by the other. Messages must have
exactly the types they declare: whatever does not is refused as a whole.
"""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    BinaryNullPayloadConverter,
    BinaryPlainPayloadConverter,
    BinaryProtoPayloadConverter,
    CompositePayloadConverter,
    EncodingPayloadConverter,
    JSONProtoPayloadConverter,
)


class TypedJSON(EncodingPayloadConverter):
    """Any value that JSON has, and dataclasses of such."""

    @property
    def encoding(self) -> str:
        return "json/plain"

    def to_payload(self, value: Any) -> Payload | None:
        """Raises TypeError for what JSON has no form for."""
        return Payload(
            metadata={"encoding": self.encoding.encode()},
            data=msgspec.json.encode(value),
        )

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """Raises msgspec.ValidationError when it is not of the type asked for."""
        return _decoder(Any if type_hint is None else type_hint).decode(payload.data)


class Messages(CompositePayloadConverter):
    """The SDK's default, but for JSON."""

    def __init__(self) -> None:
        super().__init__(
            BinaryNullPayloadConverter(),
            BinaryPlainPayloadConverter(),
            JSONProtoPayloadConverter(),
            BinaryProtoPayloadConverter(),
            TypedJSON(),
        )


@functools.lru_cache(maxsize=64)
def _decoder(type_hint: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_hint)
