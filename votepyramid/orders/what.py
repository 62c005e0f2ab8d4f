"""What can be ordered. Kept as JSON in an order's row, strictly typed."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import msgspec

from votepyramid.engine.acts import Act
from votepyramid.engine.listing import Filter
from workflows.messages import alone

_CLAIM = alone("claim", "")
# What stands in the audit log for the id of a lone claim: it is its voter's reference.
CLAIM = "claim"


class _Ordered(msgspec.Struct, frozen=True, tag_field="order"):
    """`name` is what the audit log calls it, `title` what people read."""

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def title(self) -> str:
        raise NotImplementedError

    @property
    def about(self) -> str:
        """What it is done to, as the audit log has it."""
        return "election"

    @property
    def alone(self) -> bool:
        """True when nobody else has to agree."""
        return False


class ActOnOne(_Ordered, frozen=True, tag="act"):
    """An act on one run of a workflow; `before` is the step a reset goes back to."""

    act: Act
    workflow_id: str
    run_id: str
    before: str | None = None

    @property
    def name(self) -> str:
        return self.act.value

    @property
    def title(self) -> str:
        return f"{self.act.value.capitalize()} a workflow"

    @property
    def about(self) -> str:
        return CLAIM if self.workflow_id.startswith(_CLAIM) else self.workflow_id

    @property
    def alone(self) -> bool:
        return not self.act.changes_fate


class ActOnAll(_Ordered, frozen=True, tag="act_on_all"):
    """An act on each running workflow of the election that a filter finds."""

    act: Act
    wanted: Filter
    before: str | None = None

    @property
    def name(self) -> str:
        return f"{self.act.value}_all"

    @property
    def title(self) -> str:
        return f"{self.act.value.capitalize()} many workflows"

    @property
    def about(self) -> str:
        asked = asdict(self.wanted).items()
        return ", ".join(
            name if value is True else f"{name} {value}"
            for name, value in asked
            if value and name != "states"
        )

    @property
    def alone(self) -> bool:
        return not self.act.changes_fate

    def as_of(self, given_at: datetime) -> ActOnAll:
        """On those that had begun when it was given, and no later ones."""
        return msgspec.structs.replace(
            self, wanted=replace(self.wanted, as_of=given_at)
        )


class CloseEarly(_Ordered, frozen=True, tag="close_early"):
    """End an election's claims at once, before the time that was announced."""

    @property
    def name(self) -> str:
        return "close_early"

    @property
    def title(self) -> str:
        return "Close early"


class Settle(_Ordered, frozen=True, tag="settle"):
    """Note votes that no workflow holds any more as never sent."""

    @property
    def name(self) -> str:
        return "settle"

    @property
    def title(self) -> str:
        return "Settle votes that no workflow holds"


What = ActOnOne | ActOnAll | CloseEarly | Settle


def as_json(what: What) -> Any:
    """Plain JSON values, for the row."""
    return msgspec.to_builtins(what)


def read(document: Any) -> What:
    """Out of the row. Raises msgspec.ValidationError for what is no order."""
    found: What = msgspec.convert(document, What)
    return found
