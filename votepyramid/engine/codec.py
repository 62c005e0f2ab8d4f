"""Every Temporal payload under AES-256-GCM, from the first history on.

A key ring: payloads are sealed under the newest key and opened by the id they
carry, so old histories stay readable after a rotation. Failure messages and stack
traces are payloads too. What no codec hides: workflow ids, type and queue names,
search attributes and times; hence no secret is ever put there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import temporalio.converter
from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter, PayloadCodec

from votepyramid.keys.local import LocalKeyFile

ENCODING = b"binary/votepyramid-aes-gcm"
CONTEXT = b"evote/temporal-payload/v1"


class SealedPayloads(PayloadCodec):
    """Seals whole payloads, metadata included, under a local key ring."""

    def __init__(self, ring: LocalKeyFile) -> None:
        self._ring = ring

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload(
                metadata={"encoding": ENCODING},
                data=self._ring.wrap(CONTEXT, payload.SerializeToString()),
            )
            for payload in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Raises KeyProviderError for a payload that no key of the ring opens.

        A payload that was not sealed passes: Temporal's own console and CLI may
        send one, for instance as the reason of a reset.
        """
        return [self._open(payload) for payload in payloads]

    def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        return Payload.FromString(self._ring.unwrap(CONTEXT, payload.data))


def data_converter(codec_keys_file: str) -> DataConverter:
    """The one converter that clients, workers and replays use."""
    return dataclasses.replace(
        DataConverter.default,
        payload_codec=SealedPayloads(LocalKeyFile(codec_keys_file)),
        failure_converter_class=(
            temporalio.converter.DefaultFailureConverterWithEncodedAttributes
        ),
    )
