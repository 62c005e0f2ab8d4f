"""Every receipt of an export: signed by the ballot box, its leaf in the log."""

from __future__ import annotations

from votepyramid.auditors.case import Case, Discrepancy
from votepyramid.auditors.folder import Reading
from votepyramid.protocol.bulk import ReceiptForm
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.manifest import receipt_key
from votepyramid.protocol.notes import VerifierKey

RECEIPTS, KEPT = "receipts", "voters' receipts"


def check_receipts(case: Case) -> None:
    """Verify all signatures, on every core. Fills `case.receipts`."""
    _, key = receipt_key(case.manifest)
    files = (case.reading.part([n]) for n in case.reading.names(f"{RECEIPTS}/"))
    done = 0
    for hashes, problem in case.on_every_core(
        verify_file, files, case.election, case.m, key.text()
    ):
        if problem is not None:
            raise Discrepancy(RECEIPTS, problem)
        done += len(hashes)
        case.receipts.update(hashes)
        case.tell(RECEIPTS, done, case.counts["votes"])
    if len(case.receipts) != done:
        raise Discrepancy(RECEIPTS, "a receipt is there twice")
    case.held(RECEIPTS, done, "signed by the ballot box")


def verify_file(
    reading: Reading, e: str, m: bytes, key: str
) -> tuple[list[bytes], str | None]:
    """The leaf hashes of a file's receipts, and what is wrong with the first bad one.

    In any process: `key` is the ballot box's verifier key text. Raises FolderError.
    """
    form = ReceiptForm(e, m, VerifierKey.parse(key))
    hashes: list[bytes] = []
    for name in reading.listed:
        answers = reading.unpack(name).removesuffix(b"\n").split(b"\n")
        for line, answer in enumerate(answers, 1):
            try:
                hashes.append(form.read(answer))
            except ProtocolError as error:
                return hashes, f"{name}, line {line}: {error.problem}"
    return hashes, None


def check_inclusion(case: Case) -> None:
    """What was promised is in the log, and nothing else is."""
    stray = [i for h, i in case.leaves.items() if h not in case.receipts]
    if stray:
        raise Discrepancy(
            RECEIPTS,
            f"leaf {stray[0]} of the log has no receipt: its vote is gone, or it was "
            "slipped in",
        )
    missing = sorted(case.receipts - case.leaves.keys())
    unpublished = case.counts["unpublished"]["receipt-log"]
    if len(missing) != unpublished:
        example = f", such as {missing[0].hex()}" if missing else ""
        raise Discrepancy(
            RECEIPTS,
            f"{len(missing)} are not in the log{example}; {unpublished} wait for it",
        )
    waiting = f", {unpublished} wait for it" if unpublished else ""
    found = f"receipts are in the log{waiting}"
    case.held("inclusion", len(case.leaves), found, unchecked=bool(unpublished))


def check_kept(case: Case) -> None:
    """The receipts that voters kept are among them."""
    for leaf, where in case.kept.receipts:
        if leaf not in case.receipts:
            raise Discrepancy(
                KEPT, f"{where}: the ballot box signed it, and the vote is gone"
            )
    if case.kept.receipts:
        case.held(KEPT, len(case.kept.receipts), "are votes of the export")
