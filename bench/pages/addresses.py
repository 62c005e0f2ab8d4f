"""Every page that an administrator can open, of this data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bench import election
from bench.pages.workflows import Opened

PASSPHRASE = "seven tall ships at sea"
PERSON = "administrator"
# Part of many addresses.
WORK = "/work"


# What only a page of workflows has that Temporal was asked about.
LISTED = "need attention."
TRIED = "nothing is done yet"


@dataclass(frozen=True)
class Address:
    """A page by its path; `form` where it is sent, which changes nothing.

    `shows` stands in the page once it has what it is about, `name` is what the table
    calls it, `status` what it is answered with.
    """

    path: str
    shows: str
    name: str = ""
    form: Mapping[str, str] | None = None
    status: int = 200

    @property
    def title(self) -> str:
        return self.name or self.path


def addresses(opened: Opened, found: Mapping[str, Any]) -> list[Address]:
    """All of them. `found` has a `receipt` and its hash, an `order`, a `pseudonym`, and
    `after`, where the second page of work begins."""
    e = election.ID
    return [
        Address("/", "need a person <span"),
        Address("/?still=1", "need a person <span"),
        *_work(opened, str(found["after"])),
        Address("/orders", "person-1"),
        Address(f"/orders/{found['order']}", TRIED, "/orders/ORDER"),
        Address("/elections", "/elections/other-0"),
        Address("/new-election", "Take it in"),
        Address(f"/elections/{e}", "Counted "),
        Address("/elections/other-0", "Counted "),
        *_audit(e, found),
        Address("/manual/runbook", "VotepyramidNoWorker"),
        Address("/manual/runbook/votepyramidnoworker", "It is over when"),
        Address("/manual/operations", "<h1>Operations"),
        Address("/manual/configuration", "<h1>Configuration"),
        Address("/people", "person-1"),
        Address(f"/people/{PERSON}", "End all sessions"),
        Address("/account", "Your roles"),
        Address("/account/keys/new", "A name for it"),
        Address("/sign-in", "Passphrase"),
        Address("/sign-in/again", "Sign in again"),
        Address("/set-up", "One-time code"),
    ]


def _work(opened: Opened, after: str) -> list[Address]:
    lists = [
        WORK,
        f"{WORK}?needs_attention=1",
        f"{WORK}?state=running",
        f"{WORK}?state=completed",
        f"{WORK}?kind=submit_votes&older_than=60",
        f"{WORK}?election={election.ID}&younger_than=3600",
    ]
    of_one = f"{WORK}/all?act=terminate&election={election.ID}&needs_attention=1"
    by_hash = f"{WORK}/{opened.receipt_hash}"
    return [
        *(Address(path, LISTED) for path in lists),
        Address(f"{WORK}/all?act=retry", TRIED),
        Address(of_one, TRIED),
        Address(f"{WORK}?after={quote(after)}", LISTED, f"{WORK}?after=PLACE"),
        Address(f"{WORK}/{opened.stuck}", "Postgres says so", f"{WORK}/STUCK"),
        Address(f"{WORK}/{opened.waiting}", "Postgres says so", f"{WORK}/WAITING"),
        Address(by_hash, "", f"{WORK}/RECEIPT-HASH", status=303),
    ]


def _audit(e: str, found: Mapping[str, Any]) -> list[Address]:
    of_one = f"/audit/voters?election={e}&subject={found['pseudonym']}"
    act, events = f"<td>{e}</td>", "In the hour from"
    subject = f'value="{found["pseudonym"]}"'
    return [
        Address("/audit", act),
        Address(f"/audit?election={e}", act),
        Address(f"/audit?election={e}&kind=roster_imported", act),
        Address("/audit?kind=election_finished", ">None.<"),
        Address("/audit?before=1000000", act),
        Address("/audit/voters", "Receipt hash or pseudonym"),
        Address(f"/audit/voters?election={e}", events),
        Address(f"/audit/voters?election={e}&kind=vote_refused", events),
        Address(f"/audit/voters?election={e}&before=500000", events),
        # Where the log is long, that event is not among the entries looked at.
        Address(of_one, subject, "/audit/voters?subject=SUBJECT"),
        Address("/audit/exports", ">Download<"),
        Address("/audit/checks", "Check its logs"),
        Address(f"/audit/checks?election={e}", "Checked "),
        _check(found["receipt_hash"], "/audit/checks, a receipt hash"),
        _check(found["receipt"], "/audit/checks, a receipt"),
    ]


def _check(receipt: str, name: str) -> Address:
    form = {"election": election.ID, "receipt": receipt}
    return Address("/audit/checks", 'aria-label="The receipt"', name, form)
