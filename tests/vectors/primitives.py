"""The encodings that every definition is made of, for the generator of vectors."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from typing import Any

ELECTION = "vectors-2026"


def fixed(label: str) -> bytes:
    return hashlib.sha256(b"votepyramid test vector: " + label.encode()).digest()


def canonical(value: Any) -> str:
    """RFC 8785 for what the vectors hold: ASCII keys, text, integers, lists."""
    if isinstance(value, dict):
        assert all(key.isascii() for key in value)
        members = (f"{canonical(k)}:{canonical(value[k])}" for k in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    assert type(value) in (str, int)
    return json.dumps(value, ensure_ascii=False)


def lp(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def digest(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(map(lp, parts))).digest()


def v8(data: bytes) -> bytes:
    number = int.from_bytes(data, "big")
    number = number & ~(0xF << 76) | 0x8 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return number.to_bytes(16, "big")


def b64u(data: bytes) -> str:
    return base64.b64encode(data, b"-_").decode().replace("=", "")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
