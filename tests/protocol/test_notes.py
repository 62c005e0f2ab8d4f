"""Signed notes: published examples, strict parsing, one kind of error."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.protocol.support import flip, relaxed, thorough
from votepyramid.protocol import notes
from votepyramid.protocol.notes import NoteError

# The example of Go's golang.org/x/mod/sumdb/note, whose format C2SP specifies.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_NOTE = (
    f"{GO_TEXT}\n"
    "\N{EM DASH} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuG"
    "UgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
# The format's example in C2SP signed-note; this text names no public key for it.
C2SP_NOTE = (
    "Ognuno sta solo sul cuor della terra\n"
    "trafitto da un raggio di sole:\n"
    "\n"
    "ed è subito sera.\n"
    "\n"
    "\N{EM DASH} quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5d"
    "dnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
)
KEY = notes.generate("example.org/log")
OTHER = notes.generate("example.org/log")
TEXTS = st.text(
    st.characters(codec="utf-8", min_codepoint=0x20) | st.just("\n"), max_size=40
).map(lambda text: text + "\n")


def test_published_note_verifies() -> None:
    key = notes.VerifierKey.parse(GO_KEY)
    assert key.text() == GO_KEY
    assert notes.open(GO_NOTE, key) == (GO_TEXT, (key,))
    for changed in (GO_NOTE.replace("answer", "Answer"), GO_NOTE.replace("x08", "x09")):
        with pytest.raises(NoteError):
            notes.open(changed, key)


def test_published_format_is_read() -> None:
    """Well-formed, and refused for want of a known key alone."""
    with pytest.raises(NoteError, match="no known key"):
        notes.open(C2SP_NOTE, notes.VerifierKey.parse(GO_KEY))
    text, lines = notes.split(C2SP_NOTE)
    assert text.endswith("\n\ned è subito sera.\n")
    ((name, key_id, signature),) = lines
    assert (name, len(signature)) == ("quasimodo.example/salvatore", 64)
    assert key_id.hex() == "367ba04b"


@relaxed
@given(TEXTS)
@example("\n")
@example("\n\n\n")
@example("\N{EM DASH} looks like a signature\n")
def test_round_trip(text: str) -> None:
    note = notes.sign(text, KEY, OTHER)
    assert notes.open(note, KEY.verifier) == (text, (KEY.verifier,))
    both = (KEY.verifier, OTHER.verifier)
    assert notes.open(note, *both) == (text, both)
    with pytest.raises(NoteError):
        notes.open(note, notes.generate("example.org/log").verifier)


@thorough
@given(st.text())
@example("")
@example("\n\n")
@example("\ud800\n\n\N{EM DASH} a AAAAAAA=\n")
@example("a\n\n\N{EM DASH} \n")
@example("a\n\n\N{EM DASH} b \n")
def test_arbitrary_text_raises_note_errors_only(text: str) -> None:
    for attempt in (
        lambda: notes.open(text, KEY.verifier),
        lambda: notes.VerifierKey.parse(text),
        lambda: notes.SigningKey.parse(text),
    ):
        with pytest.raises(NoteError):
            attempt()


@thorough
@given(st.text("\N{EM DASH} \nab+/=AQé", max_size=60))
def test_text_like_notes_raises_note_errors_only(text: str) -> None:
    for note in (text, "text\n\n" + text, "text\n\n\N{EM DASH} " + text + "\n"):
        with pytest.raises(NoteError):
            notes.open(note, KEY.verifier)


@thorough
@given(st.text("+PRIVATEKYab01Q/=\n é", max_size=60))
def test_text_like_keys_raises_note_errors_only(text: str) -> None:
    for parse in (notes.VerifierKey.parse, notes.SigningKey.parse):
        with pytest.raises(NoteError):
            parse(text)
        with pytest.raises(NoteError):
            parse("PRIVATE+KEY+" + text)


def test_every_byte_of_a_note_counts() -> None:
    note = notes.sign("evote\ntext\n", KEY).encode()
    for at in range(len(note)):
        for mask in (0x01, 0x20, 0x80):
            changed = flip(note, at, mask).decode("utf-8", "surrogateescape")
            with pytest.raises(NoteError):
                notes.open(changed, KEY.verifier)


def test_unknown_signatures_are_ignored() -> None:
    note = notes.sign("text\n", notes.generate("b"), KEY, notes.generate("c"))
    assert notes.open(note, KEY.verifier).signers == (KEY.verifier,)


def test_wrong_signature_of_a_known_key_refuses_the_note() -> None:
    """Also when another known key signed well."""
    note = notes.sign("text\n", KEY)
    wrong = notes.sign("other\n", OTHER).rpartition("\n\n")[2]
    both = (KEY.verifier, OTHER.verifier)
    assert notes.open(note + wrong, KEY.verifier).text == "text\n"
    with pytest.raises(NoteError):
        notes.open(note + wrong, *both)


def test_repeated_signature_counts_once() -> None:
    note = notes.sign("text\n", KEY, KEY)
    assert notes.open(note, KEY.verifier).signers == (KEY.verifier,)


def test_ambiguous_known_keys_are_refused() -> None:
    with pytest.raises(NoteError):
        notes.open(notes.sign("text\n", KEY), KEY.verifier, KEY.verifier)
    with pytest.raises(NoteError):
        notes.open(notes.sign("text\n", KEY))


def test_number_of_signatures_is_bounded() -> None:
    note = notes.sign("text\n", *[KEY] * notes.MAX_SIGNATURES)
    assert notes.open(note, KEY.verifier)
    line = note.rpartition("\n\n")[2].split("\n")[0]
    with pytest.raises(NoteError):
        notes.open(note + line + "\n", KEY.verifier)
    with pytest.raises(NoteError):
        notes.open("a" * notes.MAX_NOTE_BYTES + "\n\n" + line + "\n", KEY.verifier)


@pytest.mark.parametrize("text", ["", "no newline", "tab\t\n", "cr\r\n", "\ud800\n"])
def test_texts_that_cannot_be_signed(text: str) -> None:
    with pytest.raises(NoteError):
        notes.sign(text, KEY)
    with pytest.raises(NoteError):
        notes.sign("text\n")


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\n", "a\u00a0b", "a\u2028b", "a\x00", "\ud800"]
)
def test_names_that_are_refused(name: str) -> None:
    assert not notes.is_name(name)
    with pytest.raises(NoteError):
        notes.generate(name)


def test_key_texts_have_one_spelling() -> None:
    public, secret = KEY.verifier.text(), KEY.text()
    name, key_id, encoded = public.split("+", 2)
    wrong = [
        public.replace(key_id, key_id.upper() if key_id.upper() != key_id else "0" * 8),
        public.replace(key_id, "00000000"),
        public.replace(name, "example.org/other"),
        public + "=",
        public + "\n",
        f"{name}+{key_id}+{encoded[:-4]}",
        f"{name}+{key_id}+" + base64.b64encode(b"\x02" + KEY.verifier.public).decode(),
        f"{name}+{key_id}+" + base64.urlsafe_b64encode(b"\x01" + b"\xff" * 32).decode(),
        secret,
    ]
    for text in wrong:
        with pytest.raises(NoteError):
            notes.VerifierKey.parse(text)
    for text in (public, secret.lower(), secret[:-4], secret.replace(key_id, "0" * 8)):
        with pytest.raises(NoteError):
            notes.SigningKey.parse(text)


def test_stray_bits_in_base64_are_refused() -> None:
    """The last character before the padding holds bits that decode to nothing."""
    note = notes.sign("text\n", KEY)
    assert note.endswith("=\n") and not note.endswith("==\n")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet.index(note[-3])
    assert last % 4 == 0
    with pytest.raises(NoteError, match="canonical"):
        notes.open(note[:-3] + alphabet[last + 1] + "=\n", KEY.verifier)


def test_secret_does_not_show() -> None:
    shown = repr(KEY) + str(KEY)
    assert repr(KEY.seed)[2:-1] not in shown
    assert KEY.seed.hex() not in shown
