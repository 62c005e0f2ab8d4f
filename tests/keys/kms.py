"""The KMSs of the tests: something to make, destroy and lose keys in.

Each knows keys by short names of the test; `settings(current, *older)` are those of a
process that uses them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from unittest import mock

import boto3
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.kms.models import kms_backends

from votepyramid.settings import Settings

REGION = "eu-central-1"


@contextmanager
def silence() -> Iterator[str]:
    """The address of a server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


class Moto:
    """AWS KMS in this process."""

    def __init__(self) -> None:
        self._arns: dict[str, str] = {}

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        # No credentials of the machine's, and no looking for them.
        own = {n: v for n, v in os.environ.items() if not n.startswith("AWS_")}
        own |= {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        with mock.patch.dict(os.environ, own, clear=True), mock_aws():
            boto3.DEFAULT_SESSION = None
            yield cls()
        boto3.DEFAULT_SESSION = None

    @property
    def client(self) -> Any:
        return boto3.client("kms", region_name=REGION)

    def make_key(self, name: str, region: str = REGION) -> str:
        made = boto3.client("kms", region_name=region).create_key()
        self._arns[name] = made["KeyMetadata"]["Arn"]
        return self._arns[name]

    def destroy_key(self, name: str) -> None:
        """As it is once the days that KMS waits are over."""
        backend = kms_backends[DEFAULT_ACCOUNT_ID][REGION]
        del backend.keys[self._arns[name].split("/")[1]]

    def settings(self, current: str, *older: str, **more: Any) -> Settings:
        return Settings(
            kek_provider="aws",
            kek_current=self._arns[current],
            kek_older=frozenset(self._arns[name] for name in older),
            **more,
        )
