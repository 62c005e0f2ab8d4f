"""Temporal: the frontend, its namespace, the schedule, who polls, what waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from votepyramid.audit.archive import too_rare
from votepyramid.doctor.check import (
    Check,
    Finding,
    Unchecked,
    listed,
    ok,
    warning,
    wrong,
)
from votepyramid.engine import installation, upkeep
from votepyramid.engine.installation import NotThere, Silent
from votepyramid.engine.listing import patient_queues
from votepyramid.settings import Settings
from workflows import messages as m

SUBJECT = "temporal"
# A vote is answered in seconds. What runs for longer waits for something.
LONG = timedelta(minutes=10)
_CHECKER = Callable[[Settings], Finding]


def checks(settings: Settings) -> list[Check]:
    """Those of the subject, in the order in which they are shown."""

    def check(name: str, look: _CHECKER) -> Check:
        return Check(name, SUBJECT, lambda: _unless_away(settings, look))

    return [
        Check("temporal", SUBJECT, lambda: _frontend(settings)),
        Check("namespace", SUBJECT, lambda: _namespace(settings)),
        check("search-attributes", _search_attributes),
        check("retention", _retention),
        check("schedule", _schedule),
        check("workers", _workers),
        check("waiting-work", _waiting),
    ]


def _unless_away(settings: Settings, look: _CHECKER) -> Finding:
    try:
        return look(settings)
    except NotThere:
        raise Unchecked("the namespace is missing: see namespace") from None
    except Silent as cause:
        raise Unchecked(f"Temporal does not answer ({cause}): see temporal") from None


def _frontend(settings: Settings) -> Finding:
    where = settings.temporal_address
    try:
        serves = installation.serving(settings)
    except Silent as cause:
        return wrong(
            f"Temporal does not answer on {where} ({cause})",
            "Start it, or set VOTEPYRAMID_TEMPORAL_ADDRESS.",
        )
    if not serves:
        return wrong(
            f"Temporal on {where} answers, and says that it does not serve",
            "See its own log: its database may be away.",
        )
    return ok(f"serves on {where}")


def _namespace(settings: Settings) -> Finding:
    name = settings.temporal_namespace
    try:
        kept = installation.retention(settings)
    except NotThere:
        return wrong(
            f"there is no namespace {name!r}",
            "Set VOTEPYRAMID_TEMPORAL_NAMESPACE, or start a worker, which makes it.",
        )
    except Silent as cause:
        raise Unchecked(f"Temporal does not answer ({cause}): see temporal") from None
    return ok(f"{name} keeps closed workflows for {_hours(kept)}")


def _hours(time: timedelta) -> str:
    return f"{time.total_seconds() / 3600:g} h"


def _search_attributes(settings: Settings) -> Finding:
    absent = installation.missing_attributes(settings)
    if absent:
        return wrong(
            f"not registered: {listed(absent)}",
            "Start a worker, which registers them, and see whether its log says "
            "temporal_not_ready.",
        )
    return ok("registered")


def _retention(settings: Settings) -> Finding:
    kept, interval = installation.retention(settings), upkeep.interval(settings)
    if too_rare(interval, kept):
        return wrong(
            f"histories are archived every {_hours(interval)}, and Temporal forgets "
            f"them after {_hours(kept)}: one missed run may lose some",
            "Set archive_hours lower and restart the workers, or lengthen the "
            "retention: temporal operator namespace update --retention",
        )
    return ok(f"two runs of the archive fit into {_hours(kept)}")


def _schedule(settings: Settings) -> Finding:
    found, name = installation.archive_schedule(settings), upkeep.schedule_id(settings)
    if found is None:
        return wrong(
            f"there is no schedule {name}",
            "Start a worker of the role claim or cast, which makes it; its log says "
            "archive_not_scheduled, and why, when it cannot.",
        )
    wanted = upkeep.interval(settings).total_seconds()
    if (found.workflow, found.task_queue, found.every) != (
        m.ARCHIVE_HISTORIES,
        settings.upkeep_task_queue,
        (wanted,),
    ):
        return wrong(
            f"the schedule {name} is not what archive_hours and upkeep_task_queue say",
            "Give every worker the same settings and restart one. Do two installations "
            "share an upkeep_task_queue?",
        )
    if found.paused:
        return wrong(
            f"the schedule {name} is paused: no history is archived",
            "Once the reason is gone: temporal schedule toggle --unpause --schedule-id",
        )
    return ok(f"every {wanted / 3600:g} h")


def _queues(settings: Settings) -> list[str]:
    return [
        settings.claim_task_queue,
        settings.vote_task_queue,
        settings.upkeep_task_queue,
    ]


def _workers(settings: Settings) -> Finding:
    needed, patient = _queues(settings), patient_queues(settings)
    idle = installation.unpolled(settings, needed, patient)
    if idle:
        return wrong(
            f"no worker polls {listed(idle)}",
            "Start workers of the roles that take these: claim, cast, closing, "
            "exporting or keys. Compare their task queues' names with these.",
        )
    return ok("each task queue with work is polled")


def _waiting(settings: Settings) -> Finding:
    patient = patient_queues(settings)
    found = installation.waiting(settings, _queues(settings), LONG, patient)
    minutes = LONG.total_seconds() / 60
    if found.attention:
        return wrong(
            f"{found.attention} workflows need attention",
            "Filter Temporal's console by NeedsAttention = true; see \"When a workflow "
            'needs attention" in docs/operations.md.',
        )
    if found.old:
        return warning(
            f"{found.old} workflows have run for over {minutes:g} minutes",
            "Look in Temporal's console at what their steps fail with.",
        )
    return ok(f"no workflow has waited for {minutes:g} minutes")
