"""Who has taken over a process spoils neither the audit log nor the table of keys.

Revision: 0028
Follows: 0027

Each role appends those kinds of audit events alone that its code writes: the log is
never set right, and after one false event that an election is finished no export would
ever agree with itself again. No wrapped key is empty: it names no key-encryption key,
and whatever counts keys by those would stop at it.
"""

from __future__ import annotations

from alembic import op

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

# By the setting with the role's name. As votepyramid/audit/kinds_by_role.py has them: a
# migration that changes it makes the trigger anew.
KINDS = {
    "app_role": """
      token_issued claim_refused none_issued vote_accepted vote_refused token_reused
      junk_refused untimely_refused untimely_claims_refused
    """,
    "keeper_role": "keys_rewrapped",
    "closer_role": "election_closed votes_complete election_finished",
    "exporter_role": "audit_exported",
    "admin_role": """
      election_created election_opened closing_asked closing_called_off votes_settled
      export_asked export_downloaded export_removed
      work_retried work_paused work_resumed work_canceled work_terminated work_reset
      work_unanswered order_given order_agreed order_declined order_withdrawn
      order_stopped
      first_administrator_set_up person_invited person_invited_again person_set_up
      person_roles_changed person_disabled person_enabled person_unlocked
      person_password_set person_session_revoked person_sessions_revoked
      authenticator_registered authenticator_removed identity_bound identity_removed
      person_locked_out authenticator_count_went_back
    """,
}

# Not as the owner: it asks who inserts. What a trigger of the owner's inserts, the
# owner does.
ONLY_ITS_KINDS = """
CREATE FUNCTION only_its_kinds() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF pg_has_role((SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER') THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'the role % appends no audit event of the kind %',
    current_user, left(NEW.kind, 63) USING ERRCODE = 'insufficient_privilege';
END $$
"""
# The kinds are told here and not in the function, so that a vote pays for no call.
ONLY_ITS_KINDS_TRIGGER = """
CREATE TRIGGER only_its_kinds BEFORE INSERT ON audit_events FOR EACH ROW
WHEN (CASE current_user {cases} ELSE true END) EXECUTE FUNCTION only_its_kinds()
"""

NOT_EMPTY = "octet_length(wrapped) > 0"


def upgrade() -> None:
    op.create_check_constraint(
        op.f("ck_wrapped_keys_wrapped"), "wrapped_keys", NOT_EMPTY
    )
    op.execute(ONLY_ITS_KINDS)
    op.execute(ONLY_ITS_KINDS_TRIGGER.format(cases=" ".join(_cases())))


def downgrade() -> None:
    op.execute("DROP TRIGGER only_its_kinds ON audit_events")
    op.execute("DROP FUNCTION only_its_kinds()")
    op.drop_constraint(op.f("ck_wrapped_keys_wrapped"), "wrapped_keys")


def _cases() -> list[str]:
    settings = Settings.load()
    return [
        _case(getattr(settings, name), f"VOTEPYRAMID_{name.upper()}", kinds)
        for name, kinds in KINDS.items()
    ]


def _case(role: str, setting: str, kinds: str) -> str:
    role_name(op.get_bind(), role, setting)
    quoted = role.replace("'", "''")
    listed = ",".join(kinds.split())
    return f"WHEN '{quoted}' THEN NEW.kind <> ALL ('{{{listed}}}'::text[])"
