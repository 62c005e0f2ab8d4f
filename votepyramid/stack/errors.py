"""What the stack says when a part is missing or does not start."""

from __future__ import annotations


class StackError(Exception):
    """A part of the stack is missing or failed; the message is one plain sentence."""
