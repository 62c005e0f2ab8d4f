"""AWS KMS as moto plays it: what is bound, what is asked, what goes wrong."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, ReadTimeoutError
from moto.core import DEFAULT_ACCOUNT_ID

from tests.keys.kms import PENDING, Moto
from votepyramid.keys import providers
from votepyramid.keys.provider import (
    KekGone,
    KekTaken,
    KeyProviderError,
    Unanswered,
    WrongContext,
)
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
    with pytest.raises(KeyProviderError, match="NoCredentialsError") as caught:
        providers.make(moto.settings("kek")).wrap(BOUND, b"k" * 32)
    # Nothing was sent.
    assert not isinstance(caught.value, Unanswered)


def test_a_key_that_no_setting_names_any_more_is_destroyed(moto: Moto) -> None:
    """Retired before, when KMS was away; then taken out of kek_older."""
    old = moto.make_key("old", region="eu-west-1")
    moto.make_key("new")
    said = providers.make(moto.settings("new")).destroy(old)
    assert "destroyed by KMS" in said
    left = boto3.client("kms", region_name="eu-west-1").describe_key(KeyId=old)
    assert left["KeyMetadata"]["KeyState"] == PENDING


def test_a_key_of_another_account_is_not_taken_for_ours(moto: Moto) -> None:
    """Its id is the same, its ARN is not."""
    ours = moto.make_key("ours")
    moto.make_key("new")
    theirs = ours.replace(DEFAULT_ACCOUNT_ID, "999999999999")
    with pytest.raises(KekGone, match="999999999999"):
        providers.make(moto.settings("new", "ours")).destroy(theirs)
    left = moto.client.describe_key(KeyId=ours)["KeyMetadata"]
    assert left["KeyState"] == "Enabled"


def test_what_is_made_has_an_alias_and_a_tag(moto: Moto) -> None:
    moto.make_key("old", region="eu-west-1")
    arn = providers.make(moto.settings("old")).make("kek-2027", lambda: None)
    # Where the current key is.
    assert ":eu-west-1:" in arn
    client = boto3.client("kms", region_name="eu-west-1")
    made = client.describe_key(KeyId="alias/kek-2027")["KeyMetadata"]
    assert (made["Arn"], made["KeySpec"]) == (arn, "SYMMETRIC_DEFAULT")
    assert (made["KeyUsage"], made["Origin"]) == ("ENCRYPT_DECRYPT", "AWS_KMS")
    tags = client.list_resource_tags(KeyId=arn)["Tags"]
    assert tags == [{"TagKey": "votepyramid", "TagValue": "kek-2027"}]


class Cut(Exception):
    """The process is killed."""


def cut_off(
    monkeypatch: pytest.MonkeyPatch, call: str, error: Exception, *, done: bool
) -> None:
    """The first such call fails, when KMS has done it or before."""
    asked, left = "botocore.client.BaseClient._make_api_call", [error]
    ask = BaseClient._make_api_call

    def asking(client: Any, name: str, sent: dict[str, Any]) -> Any:
        fails = name == call and left
        answer = None if fails and not done else ask(client, name, sent)
        if fails:
            raise left.pop()
        return answer

    monkeypatch.setattr(asked, asking)


SILENCE = ReadTimeoutError(endpoint_url="kms")


@pytest.mark.parametrize(
    ("call", "error", "done"),
    [
        ("CreateKey", SILENCE, True),
        ("CreateAlias", SILENCE, False),
        ("CreateAlias", Cut(), False),
    ],
)
def test_what_was_made_and_cut_off_is_found_and_no_other_made(
    moto: Moto, monkeypatch: pytest.MonkeyPatch, call: str, error: Exception, done: bool
) -> None:
    moto.make_key("old")
    store = providers.make(moto.settings("old"))
    cut_off(monkeypatch, call, error, done=done)
    with pytest.raises(Cut if isinstance(error, Cut) else Unanswered):
        store.make("kek-2027", lambda: None)
    assert len(moto.client.list_keys()["Keys"]) == 2
    arn = store.make("kek-2027", lambda: None)
    assert len(moto.client.list_keys()["Keys"]) == 2
    made = moto.client.describe_key(KeyId="alias/kek-2027")["KeyMetadata"]
    assert (made["Arn"], made["KeyState"]) == (arn, "Enabled")


def test_an_alias_that_was_made_unseen_keeps_its_key(
    moto: Moto, monkeypatch: pytest.MonkeyPatch
) -> None:
    moto.make_key("old")
    store = providers.make(moto.settings("old"))
    cut_off(monkeypatch, "CreateAlias", SILENCE, done=True)
    with pytest.raises(Unanswered):
        store.make("kek-2027", lambda: None)
    made = moto.client.describe_key(KeyId="alias/kek-2027")["KeyMetadata"]
    assert made["KeyState"] == "Enabled"
    with pytest.raises(KekTaken, match=made["Arn"]):
        store.make("kek-2027", lambda: None)


def test_of_several_keys_for_one_name_none_is_taken(moto: Moto) -> None:
    moto.make_key("old")
    for _ in range(2):
        moto.client.create_key(
            KeySpec="SYMMETRIC_DEFAULT",
            KeyUsage="ENCRYPT_DECRYPT",
            Description="votepyramid kek-2027",
            Tags=[{"TagKey": "votepyramid", "TagValue": "kek-2027"}],
        )
    store = providers.make(moto.settings("old"))
    with pytest.raises(KekTaken, match="several keys are tagged votepyramid=kek-2027"):
        store.make("kek-2027", lambda: None)


def test_a_key_that_gets_no_alias_is_given_up(moto: Moto) -> None:
    """Somebody was quicker. What nobody finds by name would stay, and cost."""
    theirs = moto.make_key("theirs")

    def meanwhile() -> None:
        moto.client.create_alias(AliasName="alias/kek-2027", TargetKeyId=theirs)

    store = providers.make(moto.settings("theirs"))
    with pytest.raises(KekTaken, match="is given up") as caught:
        store.make("kek-2027", meanwhile)
    states = {
        key["KeyArn"]: moto.client.describe_key(KeyId=key["KeyArn"])["KeyMetadata"]
        for key in moto.client.list_keys()["Keys"]
    }
    assert len(states) == 2 and states.pop(theirs)["KeyState"] == "Enabled"
    ((arn, left),) = states.items()
    assert left["KeyState"] == PENDING and arn in str(caught.value)
