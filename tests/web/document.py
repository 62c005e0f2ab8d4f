"""docs/openapi.yaml, as the judge of answers: which were given, and were they right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

PATH = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
URI = "urn:openapi"
METHODS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")


@dataclass(frozen=True, order=True)
class Given:
    """An answer by operation, status and, for a refusal, code."""

    operation: str
    status: int
    code: str = ""


@cache
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    return loaded


@cache
def _registry() -> Registry[Any]:
    resource = Resource.from_contents(document(), default_specification=DRAFT202012)
    return Registry().with_resource(URI, resource)


def resolve(node: Any) -> Any:
    """What a node is, or what its $ref names."""
    while isinstance(node, dict) and "$ref" in node:
        place: Any = document()
        for part in node["$ref"].removeprefix("#/").split("/"):
            place = place[part]
        node = place
    return node


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(method, path, operation) of the whole document."""
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def codes(response: Any) -> list[str]:
    """The codes of a response that is a problem document."""
    content = resolve(response).get("content", {})
    if "application/problem+json" not in content:
        return []
    schema = content["application/problem+json"]["schema"]
    return list(schema["allOf"][1]["properties"]["code"]["enum"])


def documented() -> set[Given]:
    """Every answer that the document promises."""
    found = set()
    for _, _, operation in operations():
        for status, response in operation["responses"].items():
            for code in codes(response) or [""]:
                found.add(Given(operation["operationId"], int(status), code))
    return found


def validator(schema: Any) -> Draft202012Validator:
    """For a schema of the document, whose $refs are the document's."""
    inner = {"$ref": URI + schema["$ref"]} if set(schema) == {"$ref"} else schema
    absolute = _absolute(inner)
    return Draft202012Validator(absolute, registry=_registry())


def _absolute(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: URI + value
            if key == "$ref" and str(value).startswith("#")
            else _absolute(value)
            for key, value in node.items()
        }
    return [_absolute(item) for item in node] if isinstance(node, list) else node


@dataclass
class Ledger:
    """Answers that were checked against the document."""

    given: set[Given] = field(default_factory=set)

    def check(self, operation_id: str, answer: httpx2.Response) -> httpx2.Response:
        """AssertionError where the answer is not as documented."""
        operation = next(
            o for _, _, o in operations() if o["operationId"] == operation_id
        )
        status = str(answer.status_code)
        assert status in operation["responses"], (operation_id, answer.text)
        response = resolve(operation["responses"][status])
        for name, header in response.get("headers", {}).items():
            _check_header(name, resolve(header), answer)
        media_type = answer.headers["Content-Type"].split(";")[0]
        assert media_type in response["content"], (operation_id, media_type)
        schema = response["content"][media_type]["schema"]
        body = answer.json() if media_type.endswith("json") else answer.text
        validator(schema).validate(body)
        code = body["code"] if media_type == "application/problem+json" else ""
        self.given.add(Given(operation_id, answer.status_code, code))
        return answer


def _check_header(name: str, header: dict[str, Any], answer: httpx2.Response) -> None:
    if name not in answer.headers:
        assert not header.get("required"), (name, answer.headers)
        return
    schema = resolve(header["schema"])
    value: Any = answer.headers[name]
    if schema.get("type") == "integer":
        assert re.fullmatch("[0-9]+", value), (name, value)
        value = int(value)
    validator(schema).validate(value)
