"""Spans of a request, its group, its steps and their statements; off by default.

OpenTelemetry's own instrumentation writes addresses, statements and workflow ids into
its spans, and the words of exceptions. A receipt hash or a token is in all of these. So
every span is made here, with the attributes that are named here and no others.

A trace says when somebody voted, and nothing else of them: see docs/threat-model.md.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from sqlalchemy import Engine, event

from votepyramid.settings import SettingsError

log = structlog.get_logger(__name__)

# Of OpenTelemetry's semantic conventions where they have a name.
ATTRIBUTES = frozenset(
    {
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "db.operation.name",
        "db.system.name",
        "votepyramid.group.items",
        "votepyramid.line",
        "votepyramid.step",
        "votepyramid.step.attempt",
        "votepyramid.step.how",
    }
)
HEADER = "traceparent"
FLUSH_S = 0.5
# What a statement may begin with, as its span tells.
_OPERATIONS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "LOCK"})
_SPAN = "_votepyramid_span"

_tracer: Any = None


def begin(url: str, process: str, ratio: float) -> Callable[[], None]:
    """Export this process's spans to an OTLP receiver, over HTTP.

    Returns what sends the last of them, within FLUSH_S.

    Raises SettingsError without the libraries of the extra `otel`.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"traces_url needs a library that is not installed ({error.name}): "
            "pip install 'votepyramid[otel]'"
        ) from None
    provider = TracerProvider(
        resource=Resource({"service.name": f"votepyramid-{process}"}),
        sampler=ParentBased(TraceIdRatioBased(ratio)),
    )

    class Exporter(OTLPSpanExporter):
        def export(self, spans: Sequence[Any]) -> Any:
            result = super().export(spans)
            if result is not SpanExportResult.SUCCESS:
                log.warning("traces_not_sent", spans=len(spans))
            return result

    # It tells the same in lines of its own, which are no JSON.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    provider.add_span_processor(BatchSpanProcessor(Exporter(endpoint=url)))
    global _tracer  # noqa: PLW0603 - one a process, as the library itself has it
    _tracer = provider.get_tracer("votepyramid")

    def flush() -> None:
        # The library's own limit does not hold while the receiver is away.
        sending = threading.Thread(target=provider.force_flush, daemon=True)
        sending.start()
        sending.join(FLUSH_S)

    return flush


def on() -> bool:
    """Whether this process makes spans."""
    return _tracer is not None


class Span:
    """What may be said of a span once it has begun; nothing when there is none."""

    def __init__(self, made: Any = None) -> None:
        self._made = made

    def tell(self, name: str, **attributes: Any) -> None:
        """Rename it, and add attributes of the list; dots are written as __."""
        if self._made is not None:
            self._made.update_name(name)
            self._made.set_attributes(_allowed(attributes))

    def fail(self) -> None:
        """Mark it as failed, without a word."""
        if self._made is not None:
            from opentelemetry.trace import StatusCode

            self._made.set_status(StatusCode.ERROR)


@contextmanager
def span(
    name: str,
    kind: str = "INTERNAL",
    came: Iterable[Any] = (),
    parent: Any = None,
    **attributes: Any,
) -> Iterator[Span]:
    """A span around what is done inside, beneath `parent` or the one around it.

    `came` are places (see `here`) of other traces that led to this one. Attributes are
    those of the list, their dots written as __.
    """
    if _tracer is None:
        yield Span()
        return
    from opentelemetry import trace

    around = None
    if parent is not None:
        around = trace.set_span_in_context(trace.NonRecordingSpan(parent))
    with _tracer.start_as_current_span(
        name,
        context=around,
        kind=trace.SpanKind[kind],
        attributes=_allowed(attributes),
        links=[trace.Link(one) for one in came if one is not None],
        # An exception's words and lines may hold anything.
        record_exception=False,
        set_status_on_exception=False,
    ) as made:
        told = Span(made)
        try:
            yield told
        except BaseException:
            told.fail()
            raise


def _allowed(attributes: Mapping[str, Any]) -> dict[str, Any]:
    named = {name.replace("__", "."): value for name, value in attributes.items()}
    if strangers := named.keys() - ATTRIBUTES:
        raise ValueError(f"no span may say {sorted(strangers)}")
    return named


def here() -> Any:
    """The place of the span around, to be a parent or a link; None when off."""
    if _tracer is None:
        return None
    from opentelemetry import trace

    place = trace.get_current_span().get_span_context()
    return place if place.is_valid else None


def header(place: Any) -> str | None:
    """A place as W3C Trace Context writes it; None for none."""
    if place is None:
        return None
    return f"00-{place.trace_id:032x}-{place.span_id:016x}-{place.trace_flags:02x}"


def read_header(text: str) -> Any:
    """The place that a header of ours names; None for anything else, or when off."""
    if _tracer is None:
        return None
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import (
        TraceContextTextMapPropagator,
    )

    found = TraceContextTextMapPropagator().extract({HEADER: text})
    place = get_current_span(found).get_span_context()
    return place if place.is_valid else None


def trace_statements(engine: Engine) -> None:
    """A span for each statement that is run inside a span. Never its text."""
    if _tracer is None:
        return
    from opentelemetry import trace

    def begun(
        _c: Any, _cur: Any, statement: str, _p: Any, context: Any, _m: Any
    ) -> None:
        if context is None or not trace.get_current_span().is_recording():
            return
        word = statement.lstrip("( \n").split(None, 1)[0].upper()
        operation = word if word in _OPERATIONS else "OTHER"
        made = _tracer.start_span(
            operation,
            kind=trace.SpanKind.CLIENT,
            attributes=_allowed(
                {"db__operation__name": operation, "db__system__name": "postgresql"}
            ),
        )
        setattr(context, _SPAN, made)

    def done(_c: Any, _cur: Any, _s: str, _p: Any, context: Any, _m: Any) -> None:
        made = getattr(context, _SPAN, None)
        if made is not None:
            made.end()

    def failed(told: Any) -> None:
        made = getattr(told.execution_context, _SPAN, None)
        if made is not None:
            made.set_status(trace.StatusCode.ERROR)
            made.end()

    event.listen(engine, "before_cursor_execute", begun)
    event.listen(engine, "after_cursor_execute", done)
    event.listen(engine, "handle_error", failed)
