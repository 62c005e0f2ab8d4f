"""Which database role appends which kinds of audit events: those that its code writes.

The database refuses a role all others, by the trigger `only_its_kinds` of a migration,
with which the tests compare this. The owner appends every kind. The table in
docs/operations.md is made from this one.
"""

from __future__ import annotations

from votepyramid.audit.kinds_of_people import OF_PEOPLE

_BY_COMMAND = frozenset({"first_setup_link_made"})
_ON_PEOPLE = frozenset(kind.name for kind in OF_PEOPLE) - _BY_COMMAND

APPENDED_BY: dict[str, frozenset[str]] = {
    "application": frozenset(
        {
            "token_issued",
            "claim_refused",
            "none_issued",
            "vote_accepted",
            "vote_refused",
            "token_reused",
            "junk_refused",
            "untimely_refused",
            "untimely_claims_refused",
        }
    ),
    "keeper": frozenset({"keys_rewrapped"}),
    "closer": frozenset({"election_closed", "votes_complete", "election_finished"}),
    "exporter": frozenset({"audit_exported"}),
    "administrators": frozenset(
        {
            "election_created",
            "election_opened",
            "closing_asked",
            "closing_called_off",
            "votes_settled",
            "export_asked",
            "export_downloaded",
            "export_removed",
            "work_retried",
            "work_paused",
            "work_resumed",
            "work_canceled",
            "work_terminated",
            "work_reset",
            "work_unanswered",
            "order_given",
            "order_agreed",
            "order_declined",
            "order_withdrawn",
            "order_stopped",
        }
    )
    | _ON_PEOPLE,
}
