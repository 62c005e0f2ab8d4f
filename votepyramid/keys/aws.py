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
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from votepyramid.keys.names import KekNames
from votepyramid.keys.provider import KeyProviderError, WrongContext
from votepyramid.protocol.encoding import b64u
from votepyramid.settings import SettingsError

_ARN = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:key/[A-Za-z0-9-]+")
_ATTEMPTS = 2
_SAID = {
    "AccessDeniedException": "is not allowed to us, or is not there",
    "DisabledException": "is disabled",
    "KMSInvalidStateException": "is not usable: pending deletion, or destroyed",
    "NotFoundException": "does not exist: destroyed, or another account's",
    "ThrottlingException": "is asked too often",
}


class AwsKeys:
    """A KeyProvider on KMS keys, each in the region that its ARN names.

    One call takes `seconds` at most, retries and all, as far as boto3's timeouts go;
    `Bounded` sees to the rest. Raises SettingsError for a name that is not an ARN.
    """

    def __init__(self, names: KekNames, seconds: float) -> None:
        self._names = names
        # Half the time for each attempt; a pause between them is not counted.
        config = Config(
            connect_timeout=seconds / _ATTEMPTS / 2,
            read_timeout=seconds / _ATTEMPTS / 2,
            retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
        )
        regions = {arn: _region(arn) for arn in names.all}
        clients = {
            region: boto3.client("kms", region_name=region, config=config)
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

    def _ask(self, arn: str, call: str, context: bytes, **what: bytes) -> Any:
        try:
            return getattr(self._clients[arn], call)(
                KeyId=arn, EncryptionContext=encryption_context(context), **what
            )
        except (BotoCoreError, ClientError) as error:
            problem = _explain(error, arn)
        # Out here no traceback leads to the request, in which the key is.
        raise problem


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
        return KeyProviderError(f"KMS cannot be asked: {type(error).__name__}")
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in ("InvalidCiphertextException", "IncorrectKeyException"):
        return WrongContext("wrapped for another context, or altered")
    code = code if code.isalnum() and len(code) < 64 else "no code"
    return KeyProviderError(f"KMS key {arn} {_SAID.get(code, 'was refused')} ({code})")
