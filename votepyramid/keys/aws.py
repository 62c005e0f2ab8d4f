"""Key-encryption keys in AWS KMS: Encrypt and Decrypt under an encryption context.

A wrapped key is `len(ARN) ‖ ARN ‖ CiphertextBlob`. The ARN is given to Decrypt, so
that KMS uses no other key, and only the ARNs of the settings are used at all. What
is bound stands in CloudTrail as `context`, and beside it `election` and `purpose` in
clear, so that a key policy can tell them apart: a condition on
`kms:EncryptionContext:purpose` keeps the issuance key from all but the claim pool.
Nothing of it is secret.

Credentials, endpoint and certificates are boto3's own business: its environment
variables, or the role of the machine.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from votepyramid.keys.bounded import MAKING_SECONDS
from votepyramid.keys.names import KekNames, checked_fresh
from votepyramid.keys.provider import (
    Announce,
    KekGone,
    KekTaken,
    KeyProviderError,
    NotAllowed,
    Unanswered,
    WrongContext,
)
from votepyramid.protocol.encoding import b64u
from votepyramid.settings import SettingsError

_ARN = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:key/[A-Za-z0-9-]+")
_ATTEMPTS = 2
PENDING_DAYS = 30
# The fewest that KMS takes, for a key that nothing was ever wrapped under.
_ABANDONED_DAYS = 7
_TAG = "votepyramid"
# What KMS tells of a key that was made here, and that can be used.
_AS_MADE = {
    "KeyState": "Enabled",
    "KeyManager": "CUSTOMER",
    "KeySpec": "SYMMETRIC_DEFAULT",
    "KeyUsage": "ENCRYPT_DECRYPT",
    "Origin": "AWS_KMS",
}
_SAID = {
    "AccessDeniedException": "is not allowed to us, or is not there",
    "403": "is not allowed to us, or is not there",
    "AlreadyExistsException": "is there already",
    "DisabledException": "is disabled",
    "KMSInvalidStateException": "is not usable: pending deletion, or destroyed",
    "NotFoundException": "does not exist: destroyed, or another account's",
    "ThrottlingException": "is asked too often",
}
_KINDS: dict[str, type[KeyProviderError]] = {
    "AccessDeniedException": NotAllowed,
    # What is in front of KMS, or plays it, has no code.
    "403": NotAllowed,
    "AlreadyExistsException": KekTaken,
    "KMSInvalidStateException": KekGone,
    "NotFoundException": KekGone,
}


class AwsKeys:
    """A KeyProvider on KMS keys, each in the region that its ARN names.

    One call takes `seconds` at most, retries and all, as far as boto3's timeouts go;
    `Bounded` sees to the rest. Raises SettingsError for a name that is not an ARN.
    """

    def __init__(self, names: KekNames, seconds: float) -> None:
        self._names = names
        self._seconds = seconds
        regions = {arn: _region(arn) for arn in names.all}
        clients = {
            region: _client(region, seconds, _ATTEMPTS)
            for region in set(regions.values())
        }
        self._clients: dict[str, Any] = {a: clients[r] for a, r in regions.items()}

    def wrap(self, context: bytes, key: bytes) -> bytes:
        arn = self._names.current
        answer = self._ask(arn, "encrypt", context, Plaintext=key)
        if answer["KeyId"] != arn:
            raise KeyProviderError(f"KMS used another key than {arn}")
        return self._names.join(answer["CiphertextBlob"])

    def unwrap(self, context: bytes, wrapped: bytes) -> bytes:
        arn, blob = self._names.split(wrapped)
        if not blob:
            raise WrongContext("wrapped for another context, or altered")
        answer = self._ask(arn, "decrypt", context, CiphertextBlob=blob)
        key: bytes = answer["Plaintext"]
        return key

    def make(self, name: str, announce: Announce) -> str:
        """As KekStore, where the current key is: its ARN. KMS gives a key no name, so
        it gets the alias `name`, and is tagged."""
        alias = f"alias/{checked_fresh(name)}"
        # Asked once: KMS would make a key at each attempt.
        region = _region(self._names.current)
        client = _client(region, MAKING_SECONDS, attempts=1)
        _refuse_taken(client, alias)
        found = _cut_off(client, name, self._names.all)
        announce()
        arn = found or self._create(client, name)
        _name(client, alias, arn)
        return arn

    def _create(self, client: Any, name: str) -> str:
        try:
            made = client.create_key(
                KeySpec="SYMMETRIC_DEFAULT",
                KeyUsage="ENCRYPT_DECRYPT",
                Description=_described(name),
                Tags=[{"TagKey": _TAG, "TagValue": name}],
            )
        except (BotoCoreError, ClientError) as error:
            raise _explain(error, f"to be made as alias/{name}") from None
        arn: str = made["KeyMetadata"]["Arn"]
        return arn

    def destroy(self, name: str) -> str:
        """As KekStore: KMS waits for days before it destroys, and refuses meanwhile."""
        try:
            # Of a key that was taken out of the settings since, too. Asked once: the
            # second attempt would be refused what the first one had done.
            client = _client(_region(name), self._seconds, attempts=1)
            # The ARN: the id alone may be that of a key of our own account.
            answer = client.schedule_key_deletion(
                KeyId=name, PendingWindowInDays=PENDING_DAYS
            )
        except (BotoCoreError, ClientError) as error:
            raise _explain(error, name) from None
        until = f"{answer['DeletionDate']:%Y-%m-%d}"
        return (
            f"unusable, and destroyed by KMS on {until}; until then "
            "`aws kms cancel-key-deletion` brings it back"
        )

    def _ask(self, arn: str, call: str, context: bytes, **what: bytes) -> Any:
        try:
            return getattr(self._clients[arn], call)(
                KeyId=arn, EncryptionContext=encryption_context(context), **what
            )
        except (BotoCoreError, ClientError) as error:
            problem = _explain(error, arn)
        # Out here no traceback leads to the request, in which the key is.
        raise problem


def _client(region: str, seconds: float, attempts: int) -> Any:
    # A part of the time for each attempt; a pause between them is not counted.
    config = Config(
        connect_timeout=seconds / attempts / 2,
        read_timeout=seconds / attempts / 2,
        retries={"total_max_attempts": attempts, "mode": "standard"},
    )
    return boto3.client("kms", region_name=region, config=config)


def _refuse_taken(client: Any, alias: str) -> None:
    """Raises KekTaken where the alias is there."""
    try:
        found = client.describe_key(KeyId=alias)
    except (BotoCoreError, ClientError) as error:
        problem = _explain(error, alias)
        if isinstance(problem, KekGone):
            return
        raise problem from None
    arn = found["KeyMetadata"]["Arn"]
    raise KekTaken(
        f"{alias} is the alias of {arn} already: name that ARN in kek_current if it "
        "was made for this, or take another name"
    )


def _cut_off(client: Any, name: str, known: frozenset[str]) -> str | None:
    """The key that was made for this name and got no alias, before all was cut off.

    None of those that settings name already, `known`. Raises KekTaken where there are
    several.
    """
    try:
        pages = client.get_paginator("list_keys").paginate()
        arns = [key["KeyArn"] for page in pages for key in page["Keys"]]
        found = [one for one in arns if one not in known and _is_for(client, one, name)]
    except (BotoCoreError, ClientError) as error:
        problem = _explain(error, "list")
        raise type(problem)(
            f"cannot look whether a key was made for alias/{name} before "
            f"(kms:ListKeys, kms:ListResourceTags): {problem}"
        ) from None
    if len(found) > 1:
        raise KekTaken(
            f"several keys are tagged {_TAG}={name}: {' '.join(sorted(found))}. Give "
            "one of them the alias and name it in kek_current, or take another name"
        )
    return found[0] if found else None


def _is_for(client: Any, arn: str, name: str) -> bool:
    """Whether a key is one that `make` makes for this name."""
    try:
        about = client.describe_key(KeyId=arn)["KeyMetadata"]
    except ClientError as error:
        # Others' keys may be hidden from us.
        if isinstance(_explain(error, arn), NotAllowed | KekGone):
            return False
        raise
    if {**about, **_AS_MADE, "Description": _described(name)} != about:
        return False
    tags = client.list_resource_tags(KeyId=arn)["Tags"]
    return {"TagKey": _TAG, "TagValue": name} in tags


def _described(name: str) -> str:
    return f"votepyramid {name}"


def _name(client: Any, alias: str, arn: str) -> None:
    """Give a new key its alias; one that is refused it is given up."""
    key = arn.split("/")[1]
    try:
        client.create_alias(AliasName=alias, TargetKeyId=key)
    except (BotoCoreError, ClientError) as error:
        problem = _explain(error, alias)
        if isinstance(problem, Unanswered):
            raise problem from None
        with suppress(BotoCoreError, ClientError):
            client.schedule_key_deletion(KeyId=key, PendingWindowInDays=_ABANDONED_DAYS)
        raise type(problem)(f"{problem}; {arn}, made for it, is given up") from None


def encryption_context(context: bytes) -> dict[str, str]:
    """What KMS binds: all of the context, and what can be read of it."""
    bound = {"context": b64u(context)}
    parts = _parts(context)
    if len(parts) == 4:
        bound["election"] = parts[1].decode("utf-8", "replace")
        bound["purpose"] = parts[2].decode("utf-8", "replace")
    return bound


def _parts(context: bytes) -> list[bytes]:
    """The parts of `keys.service.context`; none for anything else."""
    parts = []
    while context:
        size = int.from_bytes(context[:4], "big")
        if len(context) < 4 + size:
            return []
        parts.append(context[4 : 4 + size])
        context = context[4 + size :]
    return parts


def _region(arn: str) -> str:
    found = _ARN.fullmatch(arn)
    if found is None:
        raise SettingsError(
            f"kek_current and kek_older name KMS keys by ARN, arn:aws:kms:…:key/…, "
            f"not {arn!r}: an alias may come to mean another key"
        )
    return found[1]


def _explain(error: Exception, arn: str) -> KeyProviderError:
    """Never the error's own text, which may repeat what was sent."""
    if not isinstance(error, ClientError):
        unsent = isinstance(error, NoCredentialsError | PartialCredentialsError)
        kind = KeyProviderError if unsent else Unanswered
        return kind(f"KMS cannot be asked: {type(error).__name__}")
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in ("InvalidCiphertextException", "IncorrectKeyException"):
        return WrongContext("wrapped for another context, or altered")
    code = code if code.isalnum() and len(code) < 64 else "no code"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    made = _KINDS.get(code, Unanswered if status >= 500 else KeyProviderError)
    return made(f"KMS key {arn} {_SAID.get(code, 'was refused')} ({code})")
