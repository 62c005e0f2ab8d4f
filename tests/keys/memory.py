"""Looking for keys in what an object of ours holds."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import FunctionType, ModuleType

from sqlalchemy import Engine

from votepyramid.keys.local import LocalKeyFile

_NO_PLACE_FOR_KEYS = (type, ModuleType, FunctionType, Engine, LocalKeyFile)


def remembers(holder: object, key: bytes) -> bool:
    """Whether it holds the key's bytes, wherever in it."""
    return any(key in one for one in held_bytes(holder))


def held_bytes(holder: object) -> Iterator[bytes | bytearray]:
    """All bytes that can be reached from it."""
    seen: set[int] = set()
    waiting: list[object] = [holder]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _NO_PLACE_FOR_KEYS):
            continue
        seen.add(id(one))
        if isinstance(one, bytes | bytearray):
            yield one
        else:
            waiting += gc.get_referents(one)
