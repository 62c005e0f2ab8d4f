"""AWS KMS as moto plays it: what is bound, what is asked, what goes wrong."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.keys.kms import Moto
from votepyramid.keys import providers
from votepyramid.keys.provider import KeyProviderError, WrongContext
from votepyramid.keys.service import context
from votepyramid.protocol.encoding import b64u
from votepyramid.settings import Settings, SettingsError

BOUND = context("city-2026", "issuance", uuid.UUID(int=7))


@pytest.fixture
def moto() -> Iterator[Moto]:
    with Moto.running() as made:
        yield made


def test_the_encryption_context_can_be_read_by_a_key_policy(moto: Moto) -> None:
    arn = moto.make_key("kek")
    wrapped = providers.make(moto.settings("kek")).wrap(BOUND, b"k" * 32)
    blob = wrapped[1 + wrapped[0] :]
    assert wrapped[1 : 1 + wrapped[0]] == arn.encode()
    said = {"context": b64u(BOUND), "election": "city-2026", "purpose": "issuance"}
    opened = moto.client.decrypt(CiphertextBlob=blob, EncryptionContext=said)
    assert opened["Plaintext"] == b"k" * 32
    for name in said:
        with pytest.raises(ClientError, match="InvalidCiphertext"):
            moto.client.decrypt(
                CiphertextBlob=blob, EncryptionContext={**said, name: "x"}
            )


def test_a_key_of_ones_own_account_is_never_asked(moto: Moto) -> None:
    """Who writes to the database could put a key that he wrapped himself there."""
    moto.make_key("kek")
    moto.make_key("his")
    wrapped = providers.make(moto.settings("his")).wrap(BOUND, b"k" * 32)
    with pytest.raises(KeyProviderError, match="neither kek_current nor kek_older"):
        providers.make(moto.settings("kek")).unwrap(BOUND, wrapped)


def test_keys_may_be_in_several_regions(moto: Moto) -> None:
    moto.make_key("old", region="eu-west-1")
    moto.make_key("new", region="eu-central-1")
    wrapped = providers.make(moto.settings("old")).wrap(BOUND, b"k" * 32)
    both = providers.make(moto.settings("new", "old"))
    assert both.unwrap(BOUND, wrapped) == b"k" * 32
    assert b":eu-central-1:" in both.wrap(BOUND, b"k" * 32)


@pytest.mark.parametrize(
    "name",
    [
        "alias/votepyramid",
        "arn:aws:kms:eu-central-1:123456789012:alias/votepyramid",
        "6f3c8c3e-0f5b-4d55-9a4e-3f1f0f6f7f10",
    ],
)
def test_a_name_that_may_change_its_meaning_is_refused(name: str) -> None:
    settings = Settings(kek_provider="aws", kek_current=name)
    with pytest.raises(SettingsError, match="name KMS keys by ARN"):
        providers.make(settings)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("AccessDeniedException", "not allowed to us"),
        ("DisabledException", "is disabled"),
        ("KMSInvalidStateException", "pending deletion, or destroyed"),
        ("ThrottlingException", "asked too often"),
        ("SomethingNew", "was refused"),
    ],
)
def test_what_kms_answers_is_put_plainly(
    moto: Moto, monkeypatch: pytest.MonkeyPatch, code: str, says: str
) -> None:
    """moto itself goes on using a key that is disabled."""
    moto.make_key("kek")
    asked = []

    def refuse(client: Any, call: str, sent: dict[str, Any]) -> None:
        asked.append(call)
        raise ClientError({"Error": {"Code": code, "Message": repr(sent)}}, call)

    provider = providers.make(moto.settings("kek"))
    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", refuse)
    with pytest.raises(KeyProviderError, match=says) as caught:
        provider.wrap(BOUND, b"k" * 32)
    assert not isinstance(caught.value, WrongContext)
    assert code in str(caught.value)
    assert "kkkk" not in str(caught.value)
    assert asked == ["Encrypt"]


def test_without_credentials_it_says_so(
    moto: Moto, monkeypatch: pytest.MonkeyPatch
) -> None:
    moto.make_key("kek")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    boto3.DEFAULT_SESSION = None
    with pytest.raises(KeyProviderError, match="NoCredentialsError"):
        providers.make(moto.settings("kek")).wrap(BOUND, b"k" * 32)
