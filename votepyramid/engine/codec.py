"""Every Temporal payload under AES-256-GCM, from the first history on.

A key ring: payloads are sealed under the newest key and opened by the id they
carry, so old histories stay readable after a rotation. Failure messages and stack
traces are payloads too. What no codec hides: workflow ids, type and queue names,
search attributes and times; hence no secret is ever put there.

The seal is also what a worker's trust rests on: it never sees a bearer, so a payload
sealed by the web process is all that says a vote came through the door. Therefore a
payload that is not sealed is refused, and each is bound to the namespace and the
workflow it was made for: whoever may write to Temporal, but has no key, can neither
start a workflow of ours nor move a payload from one to another.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Self

import temporalio.converter
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    ActivitySerializationContext,
    DataConverter,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)

from votepyramid.engine.converter import Messages
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.provider import KeyProviderError
from votepyramid.protocol.encoding import lp

ENCODING = b"binary/votepyramid-aes-gcm"
LABEL = b"evote/temporal-payload/v1"
# Where a payload says what it is bound to, for readers who cannot know it: the
# console's codec server is told the namespace alone.
PLACE = "votepyramid-place"
# What a schedule adds to the id of each of its runs. They are one place: Temporal
# hands the result of one run to the next.
_SCHEDULED = re.compile(r"-\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z\Z", re.ASCII)


class SealedPayloads(PayloadCodec, WithSerializationContext):
    """Seals whole payloads, metadata included, under a local key ring.

    `place` is "namespace/workflow id" where it is known. Additional data of the
    seal: lp("evote/temporal-payload/v1") ‖ lp(place).
    """

    def __init__(self, ring: LocalKeyFile, place: bytes | None = None) -> None:
        self._ring = ring
        self._place = place

    def with_context(self, context: SerializationContext) -> Self:
        place = self._place
        if isinstance(
            context, WorkflowSerializationContext | ActivitySerializationContext
        ):
            workflow = _SCHEDULED.sub("", context.workflow_id or "")
            place = f"{context.namespace}/{workflow}".encode()
        return type(self)(self._ring, place)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        place = self._place or b""
        return [
            Payload(
                metadata={"encoding": ENCODING, PLACE: place},
                data=self._ring.wrap(_bound(place), payload.SerializeToString()),
            )
            for payload in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Raises as `open`."""
        return [self.open(payload) for payload in payloads]

    def open(self, payload: Payload) -> Payload:
        """Raises KeyProviderError for a payload that is not sealed, was sealed for
        another workflow, or that no key of the ring opens."""
        if payload.metadata.get("encoding") != ENCODING:
            raise KeyProviderError("a payload is not sealed")
        place = payload.metadata.get(PLACE, b"")
        if self._place is not None and place != self._place:
            raise KeyProviderError("a payload was sealed for another workflow")
        return Payload.FromString(self._ring.unwrap(_bound(place), payload.data))


def data_converter(codec_keys_file: str) -> DataConverter:
    """The one converter that clients, workers and replays use."""
    return dataclasses.replace(
        DataConverter.default,
        payload_converter_class=Messages,
        payload_codec=SealedPayloads(LocalKeyFile(codec_keys_file)),
        failure_converter_class=(
            temporalio.converter.DefaultFailureConverterWithEncodedAttributes
        ),
    )


def _bound(place: bytes) -> bytes:
    return lp(LABEL) + lp(place)
