"""Typed settings, from an ini file's section and the environment.

The environment wins: `VOTEPYRAMID_DATABASE_URL` over `votepyramid.database_url`.
Inis hold structure; URLs and secrets come from the environment or from files the
environment names. Every setting has a safe default or stops the start with a
sentence that says what to set.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

PREFIX = "votepyramid."
ENVIRONMENT_PREFIX = "VOTEPYRAMID_"
ROLES = frozenset({"claim", "cast"})
# Each a worker's alone, which has a database role of its own.
KEYS = "keys"
CLOSING = "closing"
EXPORTING = "exporting"
ALONE = frozenset({KEYS, CLOSING, EXPORTING})
ENVIRONMENTS = frozenset({"development", "production"})
_ADDRESS = re.compile(r"([a-zA-Z0-9._-]+|\[[0-9a-fA-F:.]+\]):([0-9]{1,5})")
_URL = re.compile(r"https?://[^/\s]+/\S*")
_ISSUER = re.compile(
    r"(https?)://([a-zA-Z0-9._-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?"
    r"(?:/[a-zA-Z0-9._~!$&'()*+,;=:@%/-]*)?"
)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_OIDC = (
    "oidc_issuer",
    "oidc_client_id",
    "oidc_client_secret",
    "oidc_client_secret_file",
    "oidc_name",
)
# What can be tried at once in development, unless it is set.
_IN_DEVELOPMENT = {"second_after_hours": "0"}
_OPERATOR = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,64}")
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
    keeper_role: str = "votepyramid_keeper"
    admin_role: str = "votepyramid_admin"
    closer_role: str = "votepyramid_closer"
    exporter_role: str = "votepyramid_exporter"
    database_pool: int = 16
    # Who runs an operator's command, as its audit events say; empty: the login name.
    operator: str = ""

    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    claim_task_queue: str = "votepyramid-claims"
    vote_task_queue: str = "votepyramid-votes"
    keys_task_queue: str = "votepyramid-keys"
    closing_task_queue: str = "votepyramid-closing"
    exporting_task_queue: str = "votepyramid-exporting"
    # Where every worker does what is due by the clock.
    upkeep_task_queue: str = "votepyramid-upkeep"
    # How often closed histories are kept for auditors, before Temporal forgets them.
    archive_hours: float = 6.0
    # How long a closing may wait for votes or the log before it needs attention.
    closing_patience: float = 300.0
    sandboxed: bool = False

    codec_keys_file: str = ""
    # Where the key-encryption keys are, and what that place needs.
    kek_provider: str = "file"
    kek_file: str = ""
    # Keys of a KMS by name: one wraps, the older ones still unwrap.
    kek_current: str = ""
    kek_older: frozenset[str] = frozenset()
    kek_timeout: float = 5.0
    # How long an unwrapped key may stay in a process's memory.
    key_hold: float = 600.0
    pkcs11_module: str = ""
    pkcs11_token: str = ""
    pkcs11_pin_file: str = ""
    vault_url: str = ""
    vault_token_file: str = ""
    vault_mount: str = "transit"

    jwt_jwks: str = ""
    jwt_issuer: str = ""
    jwt_audience: str = ""

    # The operators' identity provider, and the one page that may ask the codec
    # server: the origin of Temporal's web console. With a key of their own the
    # administrators' pages are that provider.
    operator_jwks: str = ""
    operator_issuer: str = ""
    operator_audience: str = ""
    operator_key_file: str = ""
    codec_origin: str = ""
    # The origin of the administrators' pages: set-up links lead there.
    admin_origin: str = ""
    # Where administrators may sign in besides: an OpenID provider, what we are called
    # there, and what it is called on the pages. Without a secret a public client.
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = field(default="", repr=False)
    oidc_client_secret_file: str = ""
    oidc_name: str = ""
    # How long two administrators of whom one let the other in are not two for what
    # changes a vote's fate. In development not at all, unless it is set.
    second_after_hours: float = 24.0

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
    # Where exports are that the administrators' pages ask for, and how long one waits
    # for the logs, and for histories.
    exports_folder: str = ""
    export_wait: float = 60.0
    # Who must have cosigned a checkpoint before it is public, and how long they have.
    witness_policy: str = ""
    witness_timeout: float = 5.0

    threads: int = 160
    drain_timeout: float = 20.0
    metrics_dir: str = ""
    # Where a process that is no web process serves /metrics; empty: nowhere.
    metrics_listen: str = ""
    # An OTLP receiver for traces, over HTTP, and how many of the traces it gets.
    traces_url: str = ""
    traces_ratio: float = 1.0

    def __post_init__(self) -> None:
        if self.environment not in ENVIRONMENTS:
            raise SettingsError(
                f"environment must be one of {sorted(ENVIRONMENTS)}, "
                f"not {self.environment!r}"
            )
        self._check_roles()
        self._check_keks()
        self._check_watching()
        self._check_oidc()
        if self.operator and not is_operator_name(self.operator):
            raise SettingsError(
                "operator must be a name of 64 characters at most, on one line"
            )
        if not 1 <= self.group_votes <= 256:
            raise SettingsError("group_votes must be between 1 and 256")
        if not 1 <= self.group_bytes <= 448 * 1024:
            raise SettingsError(
                "group_bytes must be at least 1 and stay under 448 KiB: "
                "Temporal warns above 512"
            )
        if self.groups_in_flight < 1 or self.threads < 1:
            raise SettingsError("groups_in_flight and threads must be at least 1")
        self._check_logs()
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

    def _check_roles(self) -> None:
        alone = len(self.roles) == 1 and self.roles <= ALONE
        if not self.roles or (self.roles - ROLES and not alone):
            raise SettingsError(
                f"roles must be some of {sorted(ROLES)}, or one of {sorted(ALONE)} "
                "alone"
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
        if not 1 <= self.key_hold <= 86_400:
            raise SettingsError("key_hold must be between 1 and 86400")

    def _check_watching(self) -> None:
        if self.metrics_listen:
            address("metrics_listen", self.metrics_listen)
        if self.traces_url and not _URL.fullmatch(self.traces_url):
            raise SettingsError(
                "traces_url must be http:// or https://, with the receiver's path, "
                "such as http://127.0.0.1:4318/v1/traces"
            )
        if self.traces_ratio > 1:
            raise SettingsError("traces_ratio must be at most 1, for all")

    def _check_oidc(self) -> None:
        given = [name for name in _OIDC if getattr(self, name)]
        if given and not (self.oidc_issuer and self.oidc_client_id):
            raise SettingsError(
                f"{given[0]} is set: an identity provider takes oidc_issuer and "
                "oidc_client_id, or none of the settings that begin with oidc_"
            )
        if self.oidc_client_secret and self.oidc_client_secret_file:
            raise SettingsError(
                "oidc_client_secret and oidc_client_secret_file are both set: take one"
            )
        if self.second_after_hours > 720:
            raise SettingsError("second_after_hours must be at most 720, thirty days")
        if self.oidc_issuer:
            _check_issuer(self.oidc_issuer, self.production)
        if self.oidc_name and not is_operator_name(self.oidc_name):
            raise SettingsError(
                "oidc_name must be a name of 64 characters at most, on one line"
            )

    def _check_logs(self) -> None:
        if not 0 < self.archive_hours <= 168:
            raise SettingsError("archive_hours must be over 0 and at most 168, a week")
        if self.log_leaves < 1 or not self.log_seconds > 0:
            raise SettingsError("log_leaves must be at least 1, and log_seconds over 0")
        if self.export_wait > 14_400:
            raise SettingsError("export_wait must be at most 14400, four hours")
        if not 0 < self.witness_timeout <= 60:
            raise SettingsError("witness_timeout must be over 0 and at most 60")

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
        for one in dataclasses.fields(cls):
            value = os.environ.get(ENVIRONMENT_PREFIX + one.name.upper())
            if value is not None:
                given[one.name] = value
        if given.get("environment", "").strip() == "development":
            given = {**_IN_DEVELOPMENT, **given}
        return cls(**{k: _parse(k, v, hints[k]) for k, v in given.items()})


def address(name: str, text: str) -> tuple[str, int]:
    """Host and port of the setting `name`. Raises SettingsError."""
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found[2]) < 65_536:
        raise SettingsError(
            f"{name} must be host:port, such as 127.0.0.1:9464 or [::1]:9464, "
            f"not {text!r}"
        )
    return found[1].strip("[]"), int(found[2])


def _check_issuer(text: str, production: bool) -> None:
    """An issuer's identifier as in OpenID Connect Discovery 1.0, section 3."""
    found = _ISSUER.fullmatch(text)
    if found is None:
        raise SettingsError(
            "oidc_issuer must be the provider's address as its discovery document has "
            "it, such as https://id.example.org, without user, query or fragment"
        )
    if found[1] == "http" and (production or found[2] not in _LOOPBACK):
        raise SettingsError(
            "oidc_issuer must be https; http is for a provider on loopback, in "
            "development alone"
        )


def is_operator_name(text: str) -> bool:
    """Whether audit events can name an operator so: one line of 1 to 64 characters."""
    return _OPERATOR.fullmatch(text) is not None


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
