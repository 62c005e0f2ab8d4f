"""What the room of people refuses. Every message says what to change."""

from __future__ import annotations


class PeopleError(Exception):
    """Something about a person, a passphrase or a session was refused."""


class NameInvalid(PeopleError):
    """The name is not written as names are."""


class NameTaken(PeopleError):
    """Another person has the name."""


class NoSuchPerson(PeopleError):
    """Nobody has the name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"nobody is named {name!r}: `votepyramid people list` shows who there is"
        )


class PersonDisabled(PeopleError):
    """The person is disabled."""


class RolesInvalid(PeopleError):
    """The roles are none, or some are unknown."""


class LastAdministrator(PeopleError):
    """Without this person nobody could administer."""


class PasswordRefused(PeopleError):
    """The passphrase is too short, too long or too easily guessed."""


class SetupRefused(PeopleError):
    """The set-up link is wrong, used, expired, or not wanted any more."""


class SignInRefused(PeopleError):
    """Nobody is signed in; it does not say whether the name exists."""

    def __init__(self) -> None:
        super().__init__(
            "the name or the passphrase is wrong, or too many attempts have failed: "
            "check both, and wait a while before you try again"
        )


class PassphraseWrong(PeopleError):
    """Who is signed in gave another passphrase than theirs."""

    def __init__(self, left: int) -> None:
        super().__init__(
            "the passphrase is wrong: check it; this session ends when it is wrong "
            + ("once more" if left == 1 else f"{left} times more")
        )


class SessionEnded(PeopleError):
    """There is no such session, or it is over."""

    def __init__(self) -> None:
        super().__init__("the session is over: sign in again")


class Busy(PeopleError):
    """Too many passphrases are being checked in this process."""

    def __init__(self) -> None:
        super().__init__("too many people sign in at once: try again in a moment")


class SecondFactorRefused(PeopleError):
    """The security key's answer does not hold, or came too late."""

    def __init__(self) -> None:
        super().__init__(
            "the security key's answer does not hold or came too late: begin again, "
            "with a key that you have registered here"
        )


class SecondFactorDue(PeopleError):
    """The person has a security key, and has not shown it in this session."""

    def __init__(self) -> None:
        super().__init__("show a security key of yours first")


class SecondFactorUnavailable(PeopleError):
    """Browsers let no security key be used where the pages are."""

    def __init__(self, origin: str) -> None:
        super().__init__(
            f"the pages are at {origin}, and browsers use security keys at names "
            "alone, not at addresses: set admin_origin to one with a name, such as "
            "http://localhost:8235"
        )


class NoSuchAuthenticator(PeopleError):
    """The person has no such security key."""

    def __init__(self) -> None:
        super().__init__(
            "there is no such security key: look at those that are registered"
        )


class AuthenticatorKnown(PeopleError):
    """The security key is registered already."""

    def __init__(self) -> None:
        super().__init__("the security key is registered already: take another")


class AuthenticatorNameRefused(PeopleError):
    """The security key's name is another one's, or no name."""

    def __init__(self) -> None:
        super().__init__(
            "give the security key a name of its own, 1 to 64 characters on one line"
        )


class TooManyAuthenticators(PeopleError):
    """The person has as many security keys as one may have."""

    def __init__(self) -> None:
        super().__init__("ten security keys are the most: remove one first")


class LastAuthenticator(PeopleError):
    """Without it somebody who must have a security key would have none."""

    def __init__(self) -> None:
        super().__init__(
            "it is your last security key, and administrators must have one: register "
            "another first, or ask another administrator to remove it"
        )


class ProviderAway(PeopleError):
    """The identity provider does not answer, or not as it must."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} does not answer as it must: try again in a moment, or sign in "
            "with your passphrase if you have one"
        )


class ProviderRefused(PeopleError):
    """What came back from the identity provider does not hold, or came too late."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"what came back from {name} does not hold here or came too late: begin "
            "again, in this browser, and go there from these pages"
        )


class ProviderDeclined(PeopleError):
    """The identity provider signed nobody in."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} did not sign you in: begin again, or ask whoever runs it"
        )


class SignInUndated(PeopleError):
    """The identity provider does not say that the person signed in just now."""

    def __init__(self, name: str, told: bool) -> None:
        why = (
            f"{name} let you in without asking you again"
            if told
            else f"{name} does not say when you signed in there"
        )
        super().__init__(
            f"{why}, and this asks for it: give your passphrase, or ask whoever runs "
            f"{name} to heed prompt=login and to send auth_time"
        )


class IdentityUnknown(PeopleError):
    """No account is bound to the identity, or none that may be used."""

    def __init__(self) -> None:
        super().__init__(
            "no account that can be used here is bound to who you are there"
        )


class IdentityTaken(PeopleError):
    """The identity is bound to another account."""

    def __init__(self) -> None:
        super().__init__(
            "another account here is bound to who you are there: sign in there as "
            "somebody else, or remove it from the other account first"
        )


class IdentityBound(PeopleError):
    """The account is bound to an identity of this provider already."""

    def __init__(self) -> None:
        super().__init__(
            "your account is bound to an identity there already: remove that one first"
        )


class NoSuchIdentity(PeopleError):
    """The person has no identity at that provider."""

    def __init__(self) -> None:
        super().__init__("there is no such identity: look at those that are bound")


class LastWayIn(PeopleError):
    """Without it the person could not sign in."""

    def __init__(self) -> None:
        super().__init__(
            "it is your only way to sign in: choose a passphrase first, or ask an "
            "administrator to remove it"
        )
