"""The two logs of an export: their trees made again from the entries alone."""

from __future__ import annotations

from collections.abc import Iterator

from votepyramid.auditors.case import Case, Discrepancy
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol.auditevent import Detail, parse_entry
from votepyramid.protocol.bulk import EventForm, LeafForm
from votepyramid.protocol.checkpoint import Checkpoint, open_checkpoint
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.leaf import leaf_hash
from votepyramid.protocol.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    Bundle,
    Edge,
    Tile,
    TileError,
    bundles_of_growth,
    parse_bundle,
    parse_path,
    tiles_of_growth,
)

RECEIPT_LOG, AUDIT_LOG = "receipt-log", "audit-log"
# Kinds of events by which an election goes on, each once; and those that are held to
# the time for votes.
STEPS = (
    "election_created",
    "election_opened",
    "election_closed",
    "election_finished",
    "election_unlinked",
)
BY_THE_HOUR = ("token_issued", "vote_accepted")
# Where the time stands in an entry, whose members are in the order of their names.
_AT = slice(len('{"at":"'), len('{"at":"2026-11-23T08:00:00Z'))
# Bundles that are appended at a time: then no tile but the last of a level is partial.
_BUNDLES = 256


class Tree:
    """One log: its checkpoint opened, its entries read in order, its tiles compared."""

    def __init__(self, case: Case, name: str, signer: str) -> None:
        self._case, self._name = case, name
        self._key = manifests.signer(case.manifest, signer)
        self.checkpoint = self._published()
        self._check_names()
        self._others = case.kept.checkpoints[name]
        for said, where in self._others:
            if said.size > self.checkpoint.size:
                raise Discrepancy(name, _set_back(self.checkpoint.size, said, where))
        self._edge = Edge()
        self._partial: dict[Tile, bytes] = {}

    def entries(self) -> Iterator[bytes]:
        """Every entry; the tree is made of them on the way. Raises Discrepancy."""
        size, batch = self.checkpoint.size, list[bytes]()
        bundles = bundles_of_growth(0, size)
        for number, bundle in enumerate(bundles, 1):
            batch += self._bundle(bundle)
            if number % _BUNDLES == 0 or number == len(bundles):
                self._append(batch)
                self._case.tell(self._name, self._edge.size, size)
                yield from batch
                batch = []
        self._finish()

    def _bundle(self, bundle: Bundle) -> list[bytes]:
        try:
            return parse_bundle(self._read(bundle.path), bundle.width)
        except ProtocolError as error:
            raise Discrepancy(self._name, f"{bundle.path}: {error.problem}") from None

    def _append(self, batch: list[bytes]) -> None:
        hashes = [leaf_hash(entry) for entry in batch]
        self._meet_others(hashes)
        for tile, content in self._edge.append(hashes):
            if tile.width == TILE_WIDTH:
                self._compare(tile, content)
            else:
                self._partial[tile] = content

    def _meet_others(self, hashes: list[bytes]) -> None:
        """Compare with the checkpoints of elsewhere that end within this batch."""
        before = self._edge.size
        for said, where in self._others:
            reached = before < said.size <= before + len(hashes)
            if reached and self._edge.root_with(hashes[: said.size - before]) != (
                said.root
            ):
                raise Discrepancy(
                    self._name,
                    f"its first {said.size} entries are not those of {where}: the log "
                    "forked",
                )

    def _finish(self) -> None:
        for tile in tiles_of_growth(0, self.checkpoint.size):
            if tile in self._partial:
                self._compare(tile, self._partial[tile])
        if self._edge.root() != self.checkpoint.root:
            raise Discrepancy(
                self._name, "its entries do not give the root of its checkpoint"
            )

    def _compare(self, tile: Tile, content: bytes) -> None:
        if self._read(tile.path) != content:
            raise Discrepancy(self._name, f"{tile.path} is not made of its entries")

    def _read(self, path: str) -> bytes:
        return self._case.reading.read(f"{self._name}/{path}")

    def _check_names(self) -> None:
        """No file lies below the log that a log of this size does not have."""
        size, below = self.checkpoint.size, f"{self._name}/"
        for name in self._case.reading.names(below):
            path = name.removeprefix(below)
            if path != "checkpoint" and not _is_part(path, size):
                raise Discrepancy(
                    self._name, f"{name} is no file of a log of {size} entries"
                )

    def _published(self) -> Checkpoint:
        note = self._read("checkpoint").decode("utf-8", "replace")
        try:
            return open_checkpoint(note, self._key.name, self._key)
        except ProtocolError as error:
            raise Discrepancy(self._name, f"checkpoint: {error.problem}") from None

    def result(self) -> str:
        """What was found, for the table."""
        others = f", {len(self._others)} from elsewhere agree" if self._others else ""
        return f"tree made again from its entries{others}"


def check_receipt_log(case: Case) -> None:
    """Every leaf is this election's, no two share a tag or a ciphertext."""
    if not _is_there(case, RECEIPT_LOG):
        return
    tree = Tree(case, RECEIPT_LOG, "receipt_log")
    form = LeafForm(case.election, case.m)
    ciphertexts: set[bytes] = set()
    for index, entry in enumerate(tree.entries()):
        try:
            tag, ciphertext = form.read(entry)
        except ProtocolError as error:
            raise Discrepancy(RECEIPT_LOG, f"leaf {index}: {error.problem}") from None
        case.leaves[leaf_hash(entry)] = index
        case.tags.append(tag)
        ciphertexts.add(ciphertext)
    size = tree.checkpoint.size
    for found, what in ((len(set(case.tags)), "tag"), (len(ciphertexts), "ciphertext")):
        if found != size:
            raise Discrepancy(RECEIPT_LOG, f"{size - found} leaves repeat a {what}")
    case.root = tree.checkpoint.root
    case.held(RECEIPT_LOG, size, tree.result())


def check_audit_log(case: Case) -> None:
    """Every event is this election's; casts, issuances and its end are named once."""
    if not _is_there(case, AUDIT_LOG):
        return
    tree = Tree(case, AUDIT_LOG, "audit_log")
    form = EventForm(case.election)
    case.hours = {kind: set() for kind in BY_THE_HOUR}
    for index, entry in enumerate(tree.entries()):
        try:
            kind, subject = form.read(entry)
        except ProtocolError as error:
            raise Discrepancy(AUDIT_LOG, f"event {index}: {error.problem}") from None
        case.events[kind] = case.events.get(kind, 0) + 1
        _name_once(case, kind, subject)
        if kind in case.hours:
            case.hours[kind].add(entry[_AT])
        if kind in STEPS:
            case.steps[kind] = parse_entry(entry).at
        if kind == "election_finished":
            case.finished = str(parse_entry(entry).detail.get("statement"))
        if kind == "roster_imported":
            _note_roster(case, parse_entry(entry).detail)
    case.held(AUDIT_LOG, tree.checkpoint.size, tree.result())


def _name_once(case: Case, kind: str, subject: str | None) -> None:
    if kind == "election_finished" and case.finished is not None:
        raise Discrepancy(AUDIT_LOG, "the election is finished twice")
    named = {"token_issued": case.issued, "vote_accepted": case.accepted}.get(kind)
    if named is None:
        return
    if subject is None or subject in named:
        raise Discrepancy(AUDIT_LOG, f"two events {kind} name the same, or nothing")
    named.add(subject)


def _note_roster(case: Case, detail: Detail) -> None:
    version, eligible = detail.get("version"), detail.get("eligible")
    if not isinstance(version, int) or not isinstance(eligible, int):
        raise Discrepancy(AUDIT_LOG, "the event of a roster does not say of how many")
    if version in case.rosters:
        raise Discrepancy(AUDIT_LOG, f"roster version {version} is imported twice")
    case.rosters[version] = eligible


def _is_part(path: str, size: int) -> bool:
    """Whether it is a tile or a bundle of such a log: a partial one ends a level."""
    try:
        part = parse_path(path)
    except TileError:
        return False
    if part.width == TILE_WIDTH:
        return part.is_in(size)
    level = 0 if isinstance(part, Bundle) else part.level
    return part.index * TILE_WIDTH + part.width == size >> TILE_HEIGHT * level


def _is_there(case: Case, name: str) -> bool:
    """A log without a checkpoint has nothing in it that anybody was promised."""
    if case.reading.has(f"{name}/checkpoint"):
        return True
    if case.reading.names(f"{name}/"):
        raise Discrepancy(name, "has entries and no checkpoint")
    for said, where in case.kept.checkpoints[name]:
        raise Discrepancy(name, _set_back(0, said, where))
    case.held(name, 0, "nothing published yet", unchecked=True)
    return False


def _set_back(size: int, said: Checkpoint, where: str) -> str:
    return (
        f"has {size} entries, and {where} was signed for {said.size}: the log was set "
        "back"
    )
