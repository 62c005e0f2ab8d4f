"""What the migrations leave behind: the triggers and policies that stand guard.

Compared with a freshly migrated database by the tests, so that a migration that
changes it changes this, too.
"""

from __future__ import annotations

# (table, trigger): whether it also fires where session_replication_role is replica.
TRIGGERS: dict[tuple[str, str], bool] = {
    ("audit_events", "append_only"): True,
    ("audit_events", "append_only_whole"): True,
    ("audit_events", "only_its_kinds"): False,
    ("audit_events", "queue_audit_events"): False,
    ("election_closings", "closing_asked_in_time"): False,
    ("election_statements", "statement_stays"): False,
    ("elections", "administrators_only_open"): False,
    ("elections", "closer_does_what_was_asked"): False,
    ("log_entries", "append_only"): True,
    ("log_entries", "append_only_whole"): True,
    ("orders", "order_decided_once"): False,
    ("vote_groups", "refuse_again_when_finished"): False,
    ("vote_groups", "refuse_when_finished"): False,
    ("vote_submissions", "queue_accepted_votes"): False,
    ("vote_submissions", "refuse_when_finished"): False,
    ("vote_tokens", "refuse_when_finished"): False,
    ("vote_tokens", "token_stays_used"): False,
    ("wrapped_keys", "key_made"): False,
    ("wrapped_keys", "refuse_retired_kek"): False,
}

# (table, policy): the role it is for, of what, which rows it shows and lets in, as
# pg_policies tells. In curly brackets stands whose role it is, for the role's name.
_NOT_EVENTS = "(kind <> 'audit'::text)"
_LOGS = "(purpose = ANY (ARRAY['receipt-log'::text, 'audit-log'::text]))"
_PUBLISHED = "(kind = ANY (ARRAY['audit'::text, 'receipts'::text]))"
_UNWIPED = "(wrapped IS NOT NULL)"
POLICIES: dict[tuple[str, str], tuple[str, str, str | None, str | None]] = {
    ("log_entries", "administrators_read"): (
        "{administrators}",
        "SELECT",
        _PUBLISHED,
        None,
    ),
    ("log_entries", "all_but_events"): ("{application}", "SELECT", _NOT_EVENTS, None),
    ("log_entries", "closer_reads"): (
        "{closer}",
        "SELECT",
        "(kind = 'receipts'::text)",
        None,
    ),
    ("log_entries", "exporter_reads"): ("{exporter}", "SELECT", _PUBLISHED, None),
    ("log_entries", "sequencer"): ("{sequencer}", "ALL", "true", None),
    ("log_tiles", "administrators_read"): (
        "{administrators}",
        "SELECT",
        _PUBLISHED,
        None,
    ),
    ("log_tiles", "all_but_events"): ("{application}", "SELECT", _NOT_EVENTS, None),
    ("log_tiles", "closer_adds"): (
        "{closer}",
        "INSERT",
        None,
        "(kind = 'tags'::text)",
    ),
    ("log_tiles", "exporter_reads"): ("{exporter}", "SELECT", _PUBLISHED, None),
    ("log_tiles", "sequencer"): ("{sequencer}", "ALL", "true", None),
    ("wrapped_keys", "administrators_read"): (
        "{administrators}",
        "SELECT",
        "true",
        None,
    ),
    ("wrapped_keys", "closer_signs"): (
        "{closer}",
        "SELECT",
        "(purpose = 'statements'::text)",
        None,
    ),
    ("wrapped_keys", "data_keys"): (
        "{application}",
        "INSERT",
        None,
        "(purpose = 'data'::text)",
    ),
    ("wrapped_keys", "exporter_opens"): (
        "{exporter}",
        "SELECT",
        "(purpose = ANY (ARRAY['data'::text, 'statements'::text]))",
        None,
    ),
    ("wrapped_keys", "keeper_reads"): ("{keeper}", "SELECT", "true", None),
    ("wrapped_keys", "keeper_rewraps"): ("{keeper}", "UPDATE", _UNWIPED, _UNWIPED),
    ("wrapped_keys", "readable"): ("{application}", "SELECT", "true", None),
    ("wrapped_keys", "sequencer"): ("{sequencer}", "SELECT", _LOGS, None),
}
