"""Where everything is, for the parts of a bench."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Engine

from bench import election, votes
from bench.election import Prepared
from bench.stack import BenchStack
from votepyramid.db import make_engine
from votepyramid.elections import service as elections
from votepyramid.engine import preparation
from votepyramid.engine.connection import connect
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.service import ElectionKeys
from votepyramid.processes import log_to_file
from votepyramid.settings import Settings
from votepyramid.stack.program import Program


@dataclass(frozen=True)
class Place:
    """The servers, the election and its keys; `engine` is the owner's."""

    stack: BenchStack
    prepared: Prepared
    settings: Settings
    engine: Engine
    keys: ElectionKeys

    @classmethod
    def prepare(cls, stack: BenchStack, voters: int = 1) -> Place:
        """Make the election, with a token for each voter, and Temporal ready."""
        kept = stack.layout.secrets / "kept"
        env = stack.environment({"checkpoint_folder": str(kept)})
        os.environ.update({k: v for k, v in env.items() if k.startswith("VOTEPYRAMID")})
        settings = Settings.load()
        engine = make_engine(stack.postgres.owner_url, statement_timeout_ms=600_000)
        keys = ElectionKeys(LocalKeyFile(settings.require("kek_file")), engine, 1000)
        log_to_file(stack.layout.logs / "bench.log")
        asyncio.run(_prepare_temporal(settings))
        prepared = stack.prepare_election(voters)
        return cls(stack, prepared, settings, engine, keys)

    @contextmanager
    def owner(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection as the owner; each statement is a transaction."""
        url = self.stack.postgres.owner_url
        with psycopg.connect(url, autocommit=True) as db:
            yield db

    def made(self, executor: Executor, number: int) -> Iterator[list[votes.Made]]:
        """That many votes, signed by the ballot box."""
        with self.engine.connect() as connection:
            manifest = elections.get(connection, election.ID).manifest
        data_key = self.keys.data_key(election.ID, 1)
        box = self.keys.ballot_box(election.ID).text()
        sealed = votes.Sealed(manifest, data_key, box)
        return votes.made_in_chunks(executor, number, sealed)

    def sequencer(self, *arguments: str, **settings: str) -> Program:
        """`votepyramid log sequence`, in its own role."""
        mine = {
            "database_url": self.stack.postgres.sequencer_url,
            "checkpoint_folder": self.settings.checkpoint_folder,
            **settings,
        }
        return self.stack.program("sequencer", ["log", "sequence", *arguments], mine)


async def _prepare_temporal(settings: Settings) -> None:
    """As the first worker does, which there is none of."""
    client = await connect(settings, lazy=True, role="bench")
    await preparation.prepare(client)
