"""Strict bodies: colander without its leniency.

Colander ignores unknown keys, takes numbers and booleans for strings and reads an
empty string as missing. Here a body is strict JSON of bounded size, an object with
exactly the declared members, and every member is a string in its canonical text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import colander

from votepyramid.errors import Code, Refused
from votepyramid.protocol.encoding import ProtocolError, strict_json


class _Text:
    """A colander type: a JSON string, parsed by a function that raises ValueError."""

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self._parse = parse

    def serialize(self, node: Any, appstruct: Any) -> Any:
        return appstruct

    def deserialize(self, node: Any, cstruct: Any) -> Any:
        if cstruct is colander.null:
            return colander.null
        if not isinstance(cstruct, str):
            raise colander.Invalid(node, "must be a string")
        try:
            return self._parse(cstruct)
        except ProtocolError as error:
            raise colander.Invalid(node, error.problem) from None


def text(parse: Callable[[str], Any], **options: Any) -> colander.SchemaNode:
    """A member that must be a string in the form `parse` takes."""
    return colander.SchemaNode(_Text(parse), **options)


class StrictSchema(colander.MappingSchema):
    """An object with no members but the declared ones."""

    @staticmethod
    def schema_type() -> colander.Mapping:
        # As an argument to the schema `unknown` has no effect.
        return colander.Mapping(unknown="raise")


def read_body(request: Any, schema: StrictSchema, limit: int) -> dict[str, Any]:
    """The request's body by a schema. Raises Refused as `read_json`."""
    value = read_json(request, limit)
    try:
        result: dict[str, Any] = schema.deserialize(value)
        return result
    except colander.Invalid as invalid:
        # Only our own words and declared names: an unknown member is the caller's
        # text and may be a secret put in the wrong place.
        raise Refused(Code.MALFORMED, extras={"errors": _errors(invalid)}) from None


def read_json(request: Any, limit: int) -> Any:
    """The value of the request's body, strict JSON.

    Raises Refused: UNSUPPORTED_MEDIA_TYPE, TOO_LARGE over `limit` bytes, MALFORMED
    with `errors`, a list of {field, problem}.
    """
    if (request.content_type or "").lower() != "application/json":
        raise Refused(Code.UNSUPPORTED_MEDIA_TYPE)
    if request.content_length is not None and request.content_length > limit:
        raise Refused(Code.TOO_LARGE, extras={"limit": limit})
    body = request.body_file.read(limit + 1)
    if len(body) > limit:
        raise Refused(Code.TOO_LARGE, extras={"limit": limit})
    try:
        return strict_json(body, limit)
    except ProtocolError as error:
        errors = [{"field": "", "problem": error.problem}]
        raise Refused(Code.MALFORMED, extras={"errors": errors}) from None


def _errors(invalid: colander.Invalid) -> list[dict[str, str]]:
    if isinstance(invalid, colander.UnsupportedFields):
        return [{"field": "", "problem": "has members that are not known here"}]
    if invalid.children:
        return [found for child in invalid.children for found in _errors(child)]
    problem = str(invalid.msg) if invalid.msg else "is not valid"
    if invalid.node.name == "":
        problem = "must be an object"
    return [{"field": invalid.node.name, "problem": problem}]
