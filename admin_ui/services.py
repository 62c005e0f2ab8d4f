"""What the pages work with, made once per process: `request.services`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from sqlalchemy import Engine

from admin_ui import lists
from admin_ui.downloads import Downloads
from admin_ui.kept import Keeper, Kept
from admin_ui.lists import Lists, Overall
from votepyramid.audit.operators import acting_as
from votepyramid.auditors import checking
from votepyramid.auditors.checking import Found
from votepyramid.db import STATEMENT_TIMEOUT_MS, make_engine, reading
from votepyramid.elections import closing, overview
from votepyramid.elections.closing import Closing
from votepyramid.elections.overview import Turnout
from votepyramid.eligibility.operator_issuer import OperatorIssuer
from votepyramid.engine import exporting
from votepyramid.engine.control import Desk
from votepyramid.engine.exporting import Told
from votepyramid.engine.listing import Listing
from votepyramid.orders import trying
from votepyramid.orders.trying import Question, Trial
from votepyramid.orders.what import What
from votepyramid.people.oidc.provider import Client, Provider
from votepyramid.settings import Settings, SettingsError
from votepyramid.vitals import service as vitals
from votepyramid.vitals.reporting import PERIOD_S
from votepyramid.vitals.service import Moment
from votepyramid.web.origins import origin

# Seldom, also for the voters' sake: who sees a count after each vote sees who voted.
TURNOUT_S = 60.0
WORK_S = 5.0
CLOSING_S = 1.0
EXPORTS_S = 1.0
CHECKS_S = 30.0
_ORIGINS = ("admin", "codec")
# What a page that lists workflows may wait for Temporal, and one that shows one.
LISTS_PATIENCE_S = 0.2
LOOKING_PATIENCE_S = 2.0
# How long a page waits for a Postgres that hangs. What Postgres can still end itself
# it says by then, and a page that renews itself has not given its answer up yet.
SILENT_S = STATEMENT_TIMEOUT_MS / 1000 + 1.0


@dataclass(frozen=True)
class AdminServices:
    """`origin` is that of the pages, as a browser writes it.

    `desk` is the line to Temporal for acts, `looking` the one for pages, which wait
    less. `provider` is where people may sign in besides, if anywhere; `issuer` signs
    for the codec server, where that takes the word of these pages.
    """

    settings: Settings
    origin: str
    engine: Engine
    turnout: Keeper[Turnout]
    closings: Keeper[Closing]
    exports: Keeper[Told]
    log_checks: Keeper[list[Found]]
    work: Keeper[Overall]
    history: Keeper[list[Moment]]
    lists: Keeper[Lists]
    trials: Keeper[Trial]
    listing: Listing
    desk: Desk
    looking: Desk
    provider: Provider | None
    issuer: OperatorIssuer | None
    downloads: Downloads

    def engine_of(self, person: str) -> Engine:
        """The engine for a person's acts: their events name the person."""
        return acting_as(self.engine, person)

    def trial(self, election: str | None, what: What) -> Kept[Trial]:
        """What an order would mean now."""
        return self.trials.get(Question(election, what).key())

    def forget_work(self) -> None:
        """Something was done to workflows: what is known of them is old."""
        self.listing.forget()
        self.work.forget()
        self.lists.forget()
        self.trials.forget()
        self.closings.forget()
        self.exports.forget()

    def start(self) -> None:
        """Nothing runs beside the requests."""

    def drain(self, deadline: float) -> None:
        """Nothing waits inside."""


def make_services(settings: Settings) -> AdminServices:
    """Raises SettingsError with what to set."""
    ours = origin(settings, "admin_origin")
    client = Client.of(settings, ours)
    engine = make_engine(
        settings.require("database_url"),
        pool_size=settings.database_pool,
        application_name="votepyramid-admin",
        patience=SILENT_S,
    )

    desk = Desk(settings)
    listing = Listing(desk)

    def try_out(question: str) -> Trial:
        return trying.try_out(engine, desk, listing, Question.read(question))

    return AdminServices(
        settings,
        ours,
        engine,
        Keeper(partial(_turnout, engine), fresh=TURNOUT_S),
        Keeper(partial(closing.state, engine, desk), fresh=CLOSING_S),
        Keeper(partial(exporting.told, desk), fresh=EXPORTS_S, at_once=4),
        Keeper(partial(checking.check_logs, engine), fresh=CHECKS_S, at_once=1),
        Keeper(lambda _: lists.overall(listing), fresh=WORK_S),
        Keeper(lambda _: _last_hour(engine), fresh=PERIOD_S, at_once=1),
        Keeper(partial(lists.find, listing), fresh=WORK_S, patience=LISTS_PATIENCE_S),
        Keeper(try_out, fresh=WORK_S, at_once=4, patience=LISTS_PATIENCE_S),
        listing,
        desk,
        Desk(settings, patience=LOOKING_PATIENCE_S),
        Provider(client) if client else None,
        _issuer(settings),
        Downloads(),
    )


def _turnout(engine: Engine, election: str) -> Turnout:
    with reading(engine) as connection:
        return overview.turnout(connection, election)


def _last_hour(engine: Engine) -> list[Moment]:
    with reading(engine) as connection:
        return vitals.history(connection)


def _issuer(settings: Settings) -> OperatorIssuer | None:
    """Raises SettingsError also where the console stands at another name."""
    if not settings.operator_key_file:
        return None
    pages, console = (origin(settings, f"{which}_origin") for which in _ORIGINS)
    if pages == console or urlsplit(pages).hostname != urlsplit(console).hostname:
        raise SettingsError(
            f"codec_origin is {console}: with an operator_key_file Temporal's console "
            f"is at another port of {pages}, as browsers send the pages' cookie to no "
            "other name, and what stands at the same port may act in a person's name"
        )
    return OperatorIssuer(settings)
