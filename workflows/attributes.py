"""Search attributes: what lists of workflows can be narrowed by."""

from __future__ import annotations

from temporalio.common import SearchAttributeKey

ATTENTION = SearchAttributeKey.for_bool("NeedsAttention")
ELECTION = SearchAttributeKey.for_keyword("ElectionId")
# The step at which a workflow needs attention, for as long as it does.
STUCK_STEP = SearchAttributeKey.for_keyword("StuckStep")
# Registered before any worker starts: a workflow that sets an unknown attribute
# fails its task and repeats its activities for ever.
SEARCH_ATTRIBUTES = {
    ATTENTION.name: "Bool",
    ELECTION.name: "Keyword",
    STUCK_STEP.name: "Keyword",
}
