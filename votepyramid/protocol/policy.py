"""Which logs and how many witnesses to trust: C2SP tlog-policy, a text file.

    log <verifier key> [<url>]
    witness <name> <verifier key> [<url>]
    group <name> all|any|<k> <name>...
    quorum <name>|none

Names are those of earlier lines; each is a member of one group at most. Names,
addresses and comments are opaque bytes, which are kept as surrogates when they are
not UTF-8. Witnesses with keys other than Ed25519 cosignature keys are refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from votepyramid.protocol.checkpoint import Checkpoint, open_checkpoint
from votepyramid.protocol.cosignature import WitnessKey, cosigners
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.notes import VerifierKey

MAX_POLICY_BYTES = 64 * 1024
MAX_NAMES = 64
NONE = "none"
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_THRESHOLD = re.compile(r"[1-9][0-9]{0,3}")


class PolicyError(ProtocolError):
    """A policy is malformed, or a checkpoint does not meet it."""


class Log(NamedTuple):
    """A trusted log; its key's name is its origin."""

    key: VerifierKey
    url: str | None = None


class Witness(NamedTuple):
    """A known witness, under the name the policy's groups have for it."""

    name: str
    key: WitnessKey
    url: str | None = None


class Group(NamedTuple):
    """Names of which at least `threshold` must have witnessed."""

    name: str
    threshold: int
    members: tuple[str, ...]


class Witnessed(NamedTuple):
    """A checkpoint that meets a policy, and when each witness signed (seconds)."""

    checkpoint: Checkpoint
    times: dict[WitnessKey, int]


@dataclass(frozen=True)
class Policy:
    """Logs, witnesses, groups, and the name whose witnessing is the quorum.

    Raises PolicyError for a name used twice or unknown, a group that refers forward,
    a name in two groups, a threshold out of bounds, or a public key listed twice.
    """

    logs: tuple[Log, ...] = ()
    witnesses: tuple[Witness, ...] = ()
    groups: tuple[Group, ...] = ()
    quorum: str = NONE

    def __post_init__(self) -> None:
        if max(len(self.logs), len(self.witnesses), len(self.groups)) > MAX_NAMES:
            raise PolicyError(f"a policy has more than {MAX_NAMES} of one kind")
        _check_keys("log", [log.key.public for log in self.logs])
        _check_keys("witness", [witness.key.public for witness in self.witnesses])
        known: set[str] = set()
        for witness in self.witnesses:
            _define(witness.name, known)
        members: set[str] = set()
        for group in self.groups:
            _check_group(group, known, members)
            _define(group.name, known)
        if self.quorum != NONE and self.quorum not in known:
            raise PolicyError("a policy's quorum is not defined")

    @classmethod
    def k_of_n(
        cls, k: int, witnesses: Iterable[WitnessKey], logs: Iterable[VerifierKey] = ()
    ) -> Policy:
        """At least `k` of these witnesses; none at all where `k` is 0."""
        known = tuple(Witness(f"w{n}", key) for n, key in enumerate(witnesses, 1))
        trusted = tuple(Log(key) for key in logs)
        if k == 0:
            return cls(trusted, known)
        group = Group("quorum", k, tuple(witness.name for witness in known))
        return cls(trusted, known, (group,), group.name)

    @classmethod
    def parse(cls, data: bytes) -> Policy:
        """Read a policy file. Raises ProtocolError and names the line."""
        if len(data) > MAX_POLICY_BYTES:
            raise PolicyError(f"a policy is over {MAX_POLICY_BYTES} bytes")
        if _CONTROL.search(data):
            raise PolicyError("a policy holds a control character")
        lines = _Lines()
        text = data.decode("utf-8", "surrogateescape")
        for number, line in enumerate(text.split("\n"), 1):
            words = [word for word in re.split("[ \t]+", line) if word]
            if not words or words[0].startswith("#"):
                continue
            try:
                lines.read(words)
            except ProtocolError as error:
                raise PolicyError(f"policy line {number}: {error.problem}") from None
        if lines.quorum is None:
            raise PolicyError("a policy has exactly one quorum line")
        return cls(
            tuple(lines.logs), tuple(lines.witnesses), tuple(lines.groups), lines.quorum
        )

    def data(self) -> bytes:
        """The policy as a file, one line a definition."""
        lines = [("log", log.key.text(), log.url) for log in self.logs]
        rows: list[tuple[str | None, ...]] = [*lines]
        rows += [("witness", w.name, w.key.text(), w.url) for w in self.witnesses]
        rows += [("group", g.name, str(g.threshold), *g.members) for g in self.groups]
        rows.append(("quorum", self.quorum))
        text = "".join(" ".join(word for word in row if word) + "\n" for row in rows)
        return text.encode("utf-8", "surrogateescape")

    def satisfied_by(self, signed: Collection[WitnessKey]) -> bool:
        """Whether cosignatures of these witnesses are a quorum."""
        witnessed = {w.name for w in self.witnesses if w.key in signed}
        # A group refers to earlier ones only, so one pass in order is enough.
        for group in self.groups:
            if len(witnessed.intersection(group.members)) >= group.threshold:
                witnessed.add(group.name)
        return self.quorum == NONE or self.quorum in witnessed

    def open(self, note: str, origin: str) -> Witnessed:
        """The checkpoint of the log `origin` when it meets this policy.

        Raises PolicyError when the log is not in the policy or a quorum is missing,
        CheckpointError, CosignatureError or NoteError for wrong signatures.
        """
        keys = [log.key for log in self.logs if log.key.name == origin]
        if not keys:
            raise PolicyError("the policy does not trust this log")
        checkpoint = open_checkpoint(note, origin, *keys)
        times = cosigners(note, *(witness.key for witness in self.witnesses))
        if not self.satisfied_by(times):
            raise PolicyError("too few witnesses signed the checkpoint")
        return Witnessed(checkpoint, times)


class _Lines:
    """A policy being read: definitions are known from their line on."""

    def __init__(self) -> None:
        self.logs: list[Log] = []
        self.witnesses: list[Witness] = []
        self.groups: list[Group] = []
        self.quorum: str | None = None
        self._known: set[str] = set()
        self._members: set[str] = set()

    def read(self, words: list[str]) -> None:
        match words:
            case ["log", key, *url] if len(url) <= 1:
                self.logs.append(Log(VerifierKey.parse(key), *url))
            case ["witness", name, key, *url] if len(url) <= 1:
                _define(name, self._known)
                self.witnesses.append(Witness(name, WitnessKey.parse(key), *url))
            case ["group", name, threshold, *members] if members:
                group = Group(name, _threshold(threshold, len(members)), (*members,))
                _check_group(group, self._known, self._members)
                _define(name, self._known)
                self.groups.append(group)
            case ["quorum", name]:
                self._set_quorum(name)
            case _:
                raise PolicyError("not a log, witness, group or quorum line")

    def _set_quorum(self, name: str) -> None:
        if self.quorum is not None:
            raise PolicyError("a policy has exactly one quorum line")
        if name != NONE and name not in self._known:
            raise PolicyError("a policy's quorum is not defined")
        self.quorum = name


def _threshold(text: str, members: int) -> int:
    if text in ("all", "any"):
        return members if text == "all" else 1
    if not _THRESHOLD.fullmatch(text):
        raise PolicyError("a group's threshold is all, any or a number from 1")
    return int(text)


def _define(name: str, known: set[str]) -> None:
    if not name or name == NONE or re.search(r"[\0- ]", name):
        raise PolicyError("a name is not empty, not `none` and has no space")
    if name in known:
        raise PolicyError("a name is defined twice")
    known.add(name)


def _check_group(group: Group, known: set[str], members: set[str]) -> None:
    if not 1 <= group.threshold <= len(group.members):
        raise PolicyError("a group's threshold is from 1 to its number of members")
    for member in group.members:
        if member not in known:
            raise PolicyError("a group's member is not defined before it")
        if member in members:
            raise PolicyError("a name is a member of a group more than once")
        members.add(member)


def _check_keys(kind: str, keys: list[bytes]) -> None:
    # By the key alone: the same key under two names would count twice.
    if len(set(keys)) != len(keys):
        raise PolicyError(f"a {kind}'s public key is listed twice")
