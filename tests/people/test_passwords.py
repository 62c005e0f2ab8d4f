"""What is a passphrase, and what is kept of it."""

from __future__ import annotations

import threading
import unicodedata

import pytest

from votepyramid.people import passwords
from votepyramid.people.errors import Busy, PasswordRefused


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("elevenchars", "too short"),
        ("a" * 257, "too long"),
        ("Ada@Example.Org", "is the name"),
        ("abcabcabcabcabc", "repeats itself"),
        ("nine green\nbottles", "control character"),
        ("nine green \ud800 bottles", "control character"),
    ],
)
def test_refused_with_what_to_change(password: str, says: str) -> None:
    with pytest.raises(PasswordRefused, match=says) as refused:
        passwords.accept("ada@example.org", password)
    assert "take" in str(refused.value)
    assert password not in str(refused.value)


@pytest.mark.parametrize("password", ["twelve chars", "ä" * 8 + "öüéè 1", "a1b2c" * 51])
def test_accepted_without_rules_of_composition(password: str) -> None:
    passwords.accept("ada", password)


def test_the_parameters_are_those_of_rfc_9106() -> None:
    made = passwords.hashed("nine green bottles")
    assert made.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    # 16 bytes of salt and 32 of hash, in base64 without padding.
    assert [len(part) for part in made.split("$")[4:]] == [22, 43]
    assert made != passwords.hashed("nine green bottles")
    assert not passwords.outdated(made)


def test_one_passphrase_however_it_is_typed() -> None:
    made = passwords.hashed(unicodedata.normalize("NFD", "zwölf Äpfel am Baum"))
    assert passwords.matches(made, unicodedata.normalize("NFC", "zwölf Äpfel am Baum"))
    assert not passwords.matches(made, "zwolf Apfel am Baum")


@pytest.mark.parametrize("stored", [None, "", "no hash", "$argon2id$v=19$m=8"])
def test_what_is_no_hash_matches_nothing(stored: str | None) -> None:
    assert not passwords.matches(stored, "nine green bottles")


def test_a_crowd_waits_and_is_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_PATIENCE_S", 0.01)
    monkeypatch.setattr(passwords, "_places", threading.BoundedSemaphore(1))
    with passwords.place(), pytest.raises(Busy, match="in a moment"), passwords.place():
        pass
    with passwords.place():
        pass
