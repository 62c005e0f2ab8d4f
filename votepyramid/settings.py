"""Typed settings, from an ini file's section and the environment.

The environment wins: `VOTEPYRAMID_DATABASE_URL` over `votepyramid.database_url`.
Inis hold structure; URLs and secrets come from the environment or from files the
environment names. Every setting has a safe default or stops the start with a
sentence that says what to set.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

PREFIX = "votepyramid."
ENVIRONMENT_PREFIX = "VOTEPYRAMID_"
ROLES = frozenset({"claim", "cast"})
ENVIRONMENTS = frozenset({"development", "production"})
KEK_PROVIDERS = frozenset({"file", "pkcs11", "aws", "vault"})


class SettingsError(ValueError):
    """A setting is missing or unusable; the message says which and how to set it."""


@dataclass(frozen=True)
class Settings:
    """What a process needs to know. Times in seconds, sizes in bytes.

    Raises SettingsError from `load` and from the `require` accessors.
    """

    environment: str = "production"
    # Which public doors this process opens: the claim pool holds the issuance
    # key and knows voters, the cast pool knows neither.
    roles: frozenset[str] = ROLES
    database_url: str = ""
    owner_database_url: str = ""
    app_role: str = "votepyramid_app"
    sequencer_role: str = "votepyramid_sequencer"
    database_pool: int = 16

    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    claim_task_queue: str = "votepyramid-claims"
    vote_task_queue: str = "votepyramid-votes"
    sandboxed: bool = False

    codec_keys_file: str = ""
    # Where the key-encryption keys are, and what that place needs.
    kek_provider: str = "file"
    kek_file: str = ""
    # Keys of a KMS by name: one wraps, the older ones still unwrap.
    kek_current: str = ""
    kek_older: frozenset[str] = frozenset()
    kek_timeout: float = 5.0
    pkcs11_module: str = ""
    pkcs11_token: str = ""
    pkcs11_pin_file: str = ""
    vault_url: str = ""
    vault_token_file: str = ""
    vault_mount: str = "transit"

    jwt_jwks: str = ""
    jwt_issuer: str = ""
    jwt_audience: str = ""

    # Groups: how many travel together, how long busy groups gather, how many
    # are under way or stuck per process, how many callers wait and how long.
    group_votes: int = 64
    group_bytes: int = 256 * 1024
    group_gather: float = 0.050
    groups_in_flight: int = 2
    groups_stuck: int = 8
    waiting_bound: int = 120
    answer_timeout: float = 3.0
    data_key_rows: int = 100_000

    # The logs: a batch is due at so many waiting entries or so many seconds, and the
    # newest checkpoints are kept in this folder, outside the database.
    log_leaves: int = 256
    log_seconds: float = 60.0
    checkpoint_folder: str = ""

    threads: int = 160
    drain_timeout: float = 20.0
    metrics_dir: str = ""

    def __post_init__(self) -> None:
        if self.environment not in ENVIRONMENTS:
            raise SettingsError(
                f"environment must be one of {sorted(ENVIRONMENTS)}, "
                f"not {self.environment!r}"
            )
        if not self.roles or self.roles - ROLES:
            raise SettingsError(f"roles must be some of {sorted(ROLES)}")
        self._check_keks()
        if not 1 <= self.group_votes <= 256:
            raise SettingsError("group_votes must be between 1 and 256")
        if not 1 <= self.group_bytes <= 448 * 1024:
            raise SettingsError(
                "group_bytes must be at least 1 and stay under 448 KiB: "
                "Temporal warns above 512"
            )
        if self.groups_in_flight < 1 or self.threads < 1:
            raise SettingsError("groups_in_flight and threads must be at least 1")
        if self.log_leaves < 1:
            raise SettingsError("log_leaves must be at least 1")
        if self.groups_stuck < 1:
            raise SettingsError(
                "groups_stuck must be at least 1: with 0 every request is refused, "
                "as if groups were stuck already"
            )
        if self.waiting_bound >= self.threads:
            raise SettingsError(
                "waiting_bound must be smaller than threads: receipts and health "
                "checks need some too"
            )

    def _check_keks(self) -> None:
        if self.kek_provider not in KEK_PROVIDERS:
            raise SettingsError(
                f"kek_provider must be one of {sorted(KEK_PROVIDERS)}, "
                f"not {self.kek_provider!r}"
            )
        if not 0 < self.kek_timeout <= 10:
            raise SettingsError(
                "kek_timeout must be over 0 and at most 10: a step that asks for a "
                "key has 15 s in all"
            )

    @property
    def production(self) -> bool:
        return self.environment == "production"

    def require(self, name: str) -> str:
        """A setting that this process cannot do without."""
        value = getattr(self, name)
        if not value:
            raise SettingsError(
                f"{PREFIX}{name} is not set: put it in the ini file or set "
                f"{ENVIRONMENT_PREFIX}{name.upper()}"
            )
        return str(value)

    @classmethod
    def load(cls, ini: Mapping[str, Any] | None = None) -> Settings:
        """Settings from an ini section's items and the environment.

        Raises SettingsError naming the first unknown or unusable setting.
        """
        hints = get_type_hints(cls)
        given = {
            key.removeprefix(PREFIX): str(value)
            for key, value in (ini or {}).items()
            if key.startswith(PREFIX)
        }
        unknown = sorted(set(given) - set(hints))
        if unknown:
            raise SettingsError(f"unknown setting {PREFIX}{unknown[0]}")
        for field in dataclasses.fields(cls):
            value = os.environ.get(ENVIRONMENT_PREFIX + field.name.upper())
            if value is not None:
                given[field.name] = value
        return cls(**{k: _parse(k, v, hints[k]) for k, v in given.items()})


def _parse(name: str, text: str, kind: Any) -> Any:
    text = text.strip()
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind is int or kind is float:
            value = kind(text)
            if not 0 <= value < float("inf"):
                raise ValueError
            return value
        if kind is str:
            return text
        return frozenset(part for part in text.replace(",", " ").split())
    except (ValueError, KeyError):
        raise SettingsError(
            f"{PREFIX}{name} is {text!r}, which is not a {kind.__name__}"
        ) from None
