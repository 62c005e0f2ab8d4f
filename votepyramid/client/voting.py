"""One voter's session at the command line: new ballot, or the saved one again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from votepyramid.client import choices as choices_
from votepyramid.client import files
from votepyramid.client.ballots import PinnedElection, Receipt, SealedBallot, Token
from votepyramid.client.errors import (
    CastRefused,
    ChoicesError,
    ClientError,
    ReceiptInvalid,
)
from votepyramid.client.files import BallotFile
from votepyramid.client.messages import Pause
from votepyramid.client.policy import RetryPolicy
from votepyramid.client.sdk import VotingClient
from votepyramid.protocol.ballot import Selections

# What a voter can do about a refused ballot; most can only be sealed anew.
_ANEW = "{file} holds the refused ballot: to vote anew, name another file with --out."
_AFTER = {
    "election_not_open": "Run the same command again once the election is open.",
    "election_closed": "The ballot in {file} was not recorded in time.",
    "token_used": (
        "The ballot in {file} was not recorded: another one was, under the same "
        "token. If that one is not yours, tell the election office."
    ),
    "voter_not_eligible": "Ask the election office; then run the same command again.",
}


@dataclass
class Session:
    """What the command was asked to do, and how it talks to the voter."""

    url: str | None
    election: str | None
    authority: str | None
    manifest_hash: str | None
    style: str | None
    allow_http: bool
    out: Path
    policy: RetryPolicy
    jwt: Callable[[], str]
    choices: Callable[[], bytes] | None
    say: Callable[[str], None]
    prompt: Callable[[str, int], int]
    confirm: Callable[[str], bool]
    on_wait: Callable[[Pause], None]

    def run(self) -> Receipt:
        """Cast, and give the verified receipt. Raises ClientError."""
        if self.out.exists():
            return self._resume(files.load(self.out))
        return self._vote()

    def _vote(self) -> Receipt:
        if not self.url or not self.election:
            raise ClientError(
                "the server's address or the election is missing",
                "Give --url and --election as the election office published them.",
            )
        if not self.authority and not self.manifest_hash:
            raise ClientError(
                "nothing to check the election against",
                "Give --authority or --manifest-hash as the election office "
                "published it.",
            )
        files.check_place(self.out)
        with self._client(self.url, self.election) as client:
            election = client.manifest()
            token = client.claim(self.jwt(), self.style)
            ballot = client.seal(token, self._choose(election, token))
            saved = BallotFile(self.url, ballot, election.signed)
            files.create(self.out, saved)
            return self._cast(client, saved)

    def _resume(self, saved: BallotFile) -> Receipt:
        """Go on with the ballot that is in the file: never a second one."""
        ballot = saved.ballot
        if self.election not in (None, ballot.election):
            raise ClientError(
                f"{self.out} holds a ballot of election {ballot.election}",
                "Name another file with --out.",
            )
        with self._client(self.url or saved.server, ballot.election, ballot) as client:
            election = client.use_manifest(saved.signed_manifest)
            if saved.answer is not None:
                self.say(f"{self.out} already holds your receipt; nothing was sent.")
                return election.verify(ballot, saved.answer)
            self.say(
                f"{self.out} holds a sealed ballot whose receipt is missing; sending "
                "the same bytes again. Choices given now are not used."
            )
            return self._cast(client, saved)

    def _cast(self, client: VotingClient, saved: BallotFile) -> Receipt:
        try:
            receipt = client.cast(saved.ballot)
        except ReceiptInvalid as error:
            disputed = dataclasses.replace(saved, disputed=error.answer)
            files.update(self.out, disputed)
            raise
        except CastRefused as error:
            error.advice = _AFTER.get(error.code, _ANEW).format(file=self.out)
            raise
        files.update(self.out, dataclasses.replace(saved, answer=receipt.answer))
        return receipt

    def _choose(self, election: PinnedElection, token: Token) -> Selections:
        if self.choices is not None:
            return choices_.parse(self.choices(), election.manifest, token.style)
        selections = choices_.ask(
            election.manifest, token.style, say=self.say, prompt=self.prompt
        )
        self.say("")
        for line in choices_.summary(election.manifest, token.style, selections):
            self.say(line)
        if not self.confirm("Seal and cast this ballot?"):
            raise ChoicesError(
                "nothing was cast", "Run the command again when you are ready."
            )
        return selections

    def _client(
        self, url: str, election: str, ballot: SealedBallot | None = None
    ) -> VotingClient:
        # A saved ballot was sealed under a pin that was checked then: its manifest
        # hash pins it again, beside whatever is given now.
        pinned = self.manifest_hash or (ballot.m.hex() if ballot else None)
        return VotingClient(
            url,
            election,
            authority_vkey=self.authority,
            manifest_hash=pinned,
            policy=self.policy,
            on_wait=self.on_wait,
            allow_http=self.allow_http,
        )
