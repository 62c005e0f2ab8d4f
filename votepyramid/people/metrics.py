"""Sign-ins that somebody should look at."""

from __future__ import annotations

from prometheus_client import Counter

_ALARMS = Counter(
    "votepyramid_people_alarms_total",
    "Sign-ins that somebody should look at: an account was locked out or a session "
    "ended by wrong passphrases, a security key counts as a copy would, or the "
    "identity provider cannot be asked",
    ["alarm"],
)
# There from the start, so that also the first one is an increase.
LOCKED_OUT = _ALARMS.labels("locked_out")
PROVIDER_AWAY = _ALARMS.labels("provider_away")
KEY_COPIED = _ALARMS.labels("key_copied")
