"""What the views call, made once per process and handed out as `request.services`.

Which of them exist depends on the process's roles: the cast pool has no issuance
key and no JWT verifier, the claim pool no casting.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine
from temporalio.client import Client

from votepyramid.audit.junk import JunkCounter
from votepyramid.db import make_engine
from votepyramid.elections.service import Manifests
from votepyramid.eligibility.identity import JwtVerifier
from votepyramid.engine.connection import LoopThread, connect, vital
from votepyramid.engine.gateway import Gateway
from votepyramid.engine.listener import Listener
from votepyramid.engine.shedding import Crowd
from votepyramid.keys import providers
from votepyramid.keys.service import ElectionKeys
from votepyramid.processes import before_leaving
from votepyramid.settings import ALONE, Settings, SettingsError
from votepyramid.tokens.claiming import ClaimAnswer, Claiming, ClaimLine
from votepyramid.vitals.reporting import Reporter
from votepyramid.vitals.tally import Tally
from votepyramid.votes.casting import Answer, Casting, VoteLine
from votepyramid.web.limits import Limits


class TemporalLink:
    """The process's one Temporal client, connected at its first call."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._lock = asyncio.Lock()

    async def client(self) -> Client:
        async with self._lock:
            if self._client is None:
                self._client = await connect(self._settings, lazy=True, role="web")
            return self._client


@dataclass
class Services:
    """Everything a web process works with."""

    settings: Settings
    engine: Engine
    threads: LoopThread
    temporal: TemporalLink
    listener: Listener
    gateways: list[Gateway[Answer] | Gateway[ClaimAnswer]]
    casting: Casting | None
    claiming: Claiming | None
    verifier: JwtVerifier | None
    limits: Limits
    junk: JunkCounter
    tally: Tally
    keys: ElectionKeys | None

    def start(self) -> None:
        """Begin listening. After fork, before the first request."""
        listening = self.threads.submit(self.listener.run())
        listening.add_done_callback(vital("listener"))
        self.junk.start()
        Reporter(self.engine, "web", self._vitals).start()

    def _vitals(self) -> dict[str, Any]:
        lines = {one.name: one.state() for one in self.gateways}
        keys = {} if self.keys is None else {"keys": self.keys.state()}
        return {"doors": self.tally.numbers(), "lines": lines, **keys}

    def drain(self, deadline: float) -> None:
        """Take nothing new and answer what is inside, until the clock `deadline`."""
        for gateway in self.gateways:
            gateway.stop_taking()
        for gateway in self.gateways:
            gateway.drain(deadline)
        self.junk.flush()


def make_services(settings: Settings) -> Services:
    """Build them; raises SettingsError or KeyProviderError with what to set."""
    if alone := settings.roles & ALONE:
        raise SettingsError(f"no web process has the role {min(alone)!r}: workers have")
    engine = make_engine(
        settings.require("database_url"),
        pool_size=settings.database_pool,
        application_name="votepyramid-web",
    )
    junk = JunkCounter(engine)
    manifests = Manifests(engine)
    threads = LoopThread()
    crowd = Crowd(settings.waiting_bound)
    temporal = TemporalLink(settings)
    settings.require("codec_keys_file")
    casting: Casting | None = None
    claiming: Claiming | None = None
    verifier: JwtVerifier | None = None
    keys: ElectionKeys | None = None
    gateways: list[Gateway[Answer] | Gateway[ClaimAnswer]] = []
    if "cast" in settings.roles:
        line = VoteLine(engine, settings)
        votes: Gateway[Answer] = Gateway(
            line, settings, threads, temporal.client, crowd
        )
        casting = Casting(engine, votes, junk, manifests, settings)
        gateways.append(votes)
    if "claim" in settings.roles:
        provider = providers.make(settings)
        keys = ElectionKeys(provider, engine, settings.data_key_rows, settings.key_hold)
        before_leaving(keys.close)
        claims: Gateway[ClaimAnswer] = Gateway(
            ClaimLine(engine, settings), settings, threads, temporal.client, crowd
        )
        claiming = Claiming(engine, claims, keys, junk, manifests, settings)
        verifier = JwtVerifier(settings)
        gateways.append(claims)

    def wake(group_id: str) -> None:
        for gateway in gateways:
            gateway.wake(group_id)

    def wake_all() -> None:
        for gateway in gateways:
            gateway.wake_all()

    listener = Listener(settings.database_url, wake, wake_all)
    return Services(
        settings,
        engine,
        threads,
        temporal,
        listener,
        gateways,
        casting,
        claiming,
        verifier,
        Limits(manifests),
        junk,
        Tally(),
        keys,
    )
