"""What a voter's id may look like, in a token's `sub` and in a roster alike."""

from __future__ import annotations

import re

# Identity providers use UUIDs, e-mail addresses, `provider|number` and URNs. No
# spaces, quotes, commas or other scripts: two ids that look the same must be the
# same, and none may need escaping in a roster file.
VOTER_ID_PATTERN = r"[A-Za-z0-9._:@+=/|~-]{1,128}"
_VOTER_ID = re.compile(VOTER_ID_PATTERN)


def is_voter_id(text: object) -> bool:
    """Whether this is a voter id: 1 to 128 characters of the pattern."""
    return isinstance(text, str) and _VOTER_ID.fullmatch(text) is not None
