"""What the gateway must know of the things it groups.

A line is one kind of work: votes or claims. Its domain says how a group is started
and where answers are read; the gateway knows neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True)
class Item(Generic[AnswerT]):
    """One waiting vote or claim.

    Items with the same `key` in the same election are one and the same request;
    they share one place and one answer. `size` is in bytes.
    """

    election: str
    key: str
    size: int
    content: Any


@dataclass(frozen=True)
class Isolated:
    """Answer of an item that goes on in a workflow of its own."""

    workflow_id: str


class Line(Protocol[AnswerT]):
    """Read and write sides of a kind of work. Methods may block: they get a thread."""

    @property
    def workflow(self) -> str:
        """Workflow type of a group."""
        ...

    @property
    def task_queue(self) -> str: ...

    @property
    def prefix(self) -> str:
        """First part of a group's workflow id."""
        ...

    def message(
        self, election: str, group_id: str, items: Sequence[Item[AnswerT]]
    ) -> Any:
        """The workflow's argument."""
        ...

    def read(self, election: str, items: Sequence[Item[AnswerT]]) -> dict[str, AnswerT]:
        """Answers that stand in the tables by now, by key."""
        ...

    def answers(self, result: Any) -> dict[str, AnswerT | Isolated | None]:
        """Answers in a finished group's raw result; None: look at the tables."""
        ...

    def result_type(self) -> Any:
        """Type of the workflow's result."""
        ...

    def settle(self, item: Item[AnswerT], answer: AnswerT) -> None:
        """Write down an answer whose caller has gone away with a 202."""
        ...

    def abandon(self, item: Item[AnswerT]) -> None:
        """The same when the workflow was ended without deciding the item."""
        ...
