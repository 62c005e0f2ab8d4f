"""The KMSs of the tests: something to make, destroy and lose keys in.

Each knows keys by short names of the test; `settings(current, *older)` are those of a
process that uses them.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Self
from unittest import mock

import boto3
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.authorization import enable_iam_authentication
from moto.kms.exceptions import NotFoundException
from moto.kms.models import KmsBackend, kms_backends

from tests.keys import softhsm
from tests.keys.openbao import ROOT_TOKEN, Bao
from tests.keys.softhsm import Tokens
from votepyramid.keys import local, pkcs11, providers
from votepyramid.protocol.encoding import b64u
from votepyramid.settings import Settings

REGION = "eu-central-1"
PENDING = "PendingDeletion"


class Place(Protocol):
    """What the conformance suite does to a KMS."""

    # Whether a running process notices what happens to its keys.
    notices: bool

    def make_key(self, name: str) -> object: ...

    def destroy_key(self, name: str) -> None: ...

    def settings(self, current: str, *older: str, **more: Any) -> Settings: ...

    def operators(self, settings: Settings) -> Settings:
        """The settings of somebody who may destroy keys."""
        ...

    def days_pass(self) -> None:
        """What waits for them happens."""
        ...

    def barred(self, settings: Settings) -> AbstractContextManager[Settings]:
        """The settings of somebody who may use keys and make none."""
        ...

    def hung(self, settings: Settings) -> AbstractContextManager[Settings]:
        """The settings changed to those of a KMS that never answers."""
        ...


@contextmanager
def silence() -> Iterator[str]:
    """The address of a server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


class KeyFile:
    """A local key file: read once, when a process starts."""

    notices = False

    def __init__(self, folder: Path) -> None:
        self._path = folder / "kek.json"
        self._keys: dict[str, str] = {}

    def make_key(self, name: str) -> None:
        self._keys[name] = b64u(secrets.token_bytes(32))

    def destroy_key(self, name: str) -> None:
        del self._keys[name]

    def settings(self, current: str, *older: str, **more: Any) -> Settings:
        kept = {n: k for n, k in self._keys.items() if n in (current, *older)}
        path = self._path.with_name(f"{secrets.token_hex(4)}.json")
        path.write_text(json.dumps({"current": current, "keys": kept}))
        path.chmod(0o600)
        return Settings(kek_file=str(path), **more)

    def operators(self, settings: Settings) -> Settings:
        return settings

    def days_pass(self) -> None:
        pass

    @contextmanager
    def barred(self, settings: Settings) -> Iterator[Settings]:
        """As for anybody but root in a folder of root's."""
        with mock.patch.object(local.os, "open", side_effect=PermissionError):
            yield settings

    @contextmanager
    def hung(self, settings: Settings) -> Iterator[Settings]:
        pipe = self._path.with_name("pipe")
        os.mkfifo(pipe, 0o600)
        yield replace(settings, kek_file=str(pipe))


class Token:
    """A token of SoftHSM."""

    notices = True

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def make_key(self, name: str) -> None:
        self._tokens.make_key("votepyramid", name)

    def destroy_key(self, name: str) -> None:
        self._tokens.destroy_key("votepyramid", name)

    def settings(self, current: str, *older: str, **more: Any) -> Settings:
        return Settings(
            kek_provider="pkcs11",
            kek_current=current,
            kek_older=frozenset(older),
            pkcs11_module=str(softhsm.module()),
            pkcs11_token="votepyramid",
            pkcs11_pin_file=str(self._tokens.pin_file),
            **more,
        )

    def operators(self, settings: Settings) -> Settings:
        return settings

    def days_pass(self) -> None:
        pass

    @contextmanager
    def barred(self, settings: Settings) -> Iterator[Settings]:
        """SoftHSM lets its user do everything, in a session that may write."""
        opened = pkcs11.Pkcs11Keys._open_session

        def reading(keys: pkcs11.Pkcs11Keys, rw: bool = False) -> Any:
            return opened(keys)

        with mock.patch.object(pkcs11.Pkcs11Keys, "_open_session", reading):
            yield settings

    @contextmanager
    def hung(self, settings: Settings) -> Iterator[Settings]:
        with self._tokens.hung():
            yield settings


class Transit:
    """Keys of OpenBao's transit engine."""

    notices = True

    def __init__(self, bao: Bao) -> None:
        self._bao = bao
        self._root = bao.keep_token("root", ROOT_TOKEN)
        self.make_key = bao.make_key
        self.destroy_key = bao.destroy_key
        self.settings = bao.settings

    def operators(self, settings: Settings) -> Settings:
        return replace(settings, vault_token_file=str(self._root))

    def days_pass(self) -> None:
        pass

    @contextmanager
    def barred(self, settings: Settings) -> Iterator[Settings]:
        yield settings

    @contextmanager
    def hung(self, settings: Settings) -> Iterator[Settings]:
        with silence() as url:
            yield replace(settings, vault_url=url)


_schedule_by_id = KmsBackend.schedule_key_deletion


def _schedule(backend: KmsBackend, key_id: str, days: int) -> float:
    """As KMS does: by id, or by the ARN of a key of one's own account. Moto's own
    takes no ARN here, and elsewhere looks at no account."""
    found = backend.keys[backend.get_key_id(key_id)]
    if key_id not in (found.id, found.arn):
        raise NotFoundException(f"Key '{key_id}' does not exist")
    return _schedule_by_id(backend, found.id, days)


class Moto:
    """AWS KMS in this process."""

    notices = True

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
        schedule = mock.patch.object(KmsBackend, "schedule_key_deletion", _schedule)
        with mock.patch.dict(os.environ, own, clear=True), schedule, mock_aws():
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

    def operators(self, settings: Settings) -> Settings:
        return settings

    def days_pass(self) -> None:
        """Moto's keys that wait for deletion still work, and wait for ever."""
        keys = kms_backends[DEFAULT_ACCOUNT_ID][REGION].keys
        for name in [n for n, key in keys.items() if key.key_state == PENDING]:
            del keys[name]

    @contextmanager
    def barred(self, settings: Settings) -> Iterator[Settings]:
        iam = boto3.client("iam", region_name=REGION)
        name = f"service-{secrets.token_hex(4)}"
        iam.create_user(UserName=name)
        may = ["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey"]
        policy = {"Effect": "Allow", "Action": may, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
        iam.put_user_policy(
            UserName=name, PolicyName="uses-keys", PolicyDocument=document
        )
        key = iam.create_access_key(UserName=name)["AccessKey"]
        own = {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }
        with mock.patch.dict(os.environ, own), enable_iam_authentication():
            boto3.DEFAULT_SESSION = None
            yield settings
        boto3.DEFAULT_SESSION = None

    @contextmanager
    def hung(self, settings: Settings) -> Iterator[Settings]:
        with (
            silence() as url,
            mock.patch.dict(os.environ, {"AWS_ENDPOINT_URL_KMS": url}),
        ):
            yield settings


def fresh(place: Place) -> str:
    """A key under a name that no other test has."""
    name = a_name()
    place.make_key(name)
    return name


def a_name() -> str:
    return f"kek-{secrets.token_hex(4)}"


def with_made(settings: Settings, made: str) -> Settings:
    """With a key that was made as the current one, as the command says to set them."""
    if settings.kek_provider == "file":
        return settings
    names = providers.names(settings).after(made)
    return replace(settings, kek_current=names.current, kek_older=names.older)
