"""`temporal-server` on Postgres, as production runs it, as a child of ours."""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from votepyramid.stack.children import Child, environment_without, tail, wait_until
from votepyramid.stack.errors import StackError
from votepyramid.stack.ports import LOOPBACK, is_free
from votepyramid.stack.postgres import EmbeddedPostgres
from votepyramid.stack.program import http_status

PLUGIN = "postgres12_pgx"
ROLE = "temporal"
SCHEMAS = {"temporal": "temporal", "temporal_visibility": "visibility"}
_START_SECONDS = 60.0
# Temporal keeps its services' ports in a signed 16-bit column: the usual range of
# free ports lies above it.
_PORT_RANGE = range(20_000, 32_000)
# The services talk to each other on these; all of them are ours, on loopback.
_PORTS = (
    "FRONTEND_GRPC_PORT",
    "FRONTEND_HTTP_PORT",
    "FRONTEND_MEMBERSHIP_PORT",
    "HISTORY_GRPC_PORT",
    "HISTORY_MEMBERSHIP_PORT",
    "MATCHING_GRPC_PORT",
    "MATCHING_MEMBERSHIP_PORT",
    "WORKER_GRPC_PORT",
    "WORKER_MEMBERSHIP_PORT",
)


class TemporalServer(Child):
    """All four services in one process, their tables in databases of `postgres`.

    `programs` as `votepyramid.stack.temporal.find_server` gives them; `dynamic` are
    dynamic configuration values by name; `shards` can never change for a database.
    """

    def __init__(
        self,
        programs: Mapping[str, Path],
        postgres: EmbeddedPostgres,
        folder: Path,
        *,
        log: Path,
        record: Path | None = None,
        shards: int,
        connections: int,
        dynamic: Mapping[str, object],
    ) -> None:
        super().__init__(log, record)
        self._ports: dict[str, int] = {}
        self._programs = programs
        self._postgres = postgres
        self._folder = folder
        self._shards = shards
        self._connections = connections
        self._dynamic = dynamic
        self._password = secrets.token_hex(24)

    def start(self) -> None:
        """Make the databases and bring the server up.

        Raises:
            StackError: a schema could not be made, or the server was not ready in
                a minute.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_databases()
        for database, schema in SCHEMAS.items():
            self._sql_tool(database, "setup-schema", "-v", "0.0")
            name = f"postgresql/v12/{schema}"
            self._sql_tool(database, "update-schema", "--schema-name", name)
        self._ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        self._spawn(
            [self._programs["temporal-server"], "--allow-no-auth", "start"],
            env=self._environment(),
            cwd=self._folder,
        )
        if not wait_until(
            self.ready, seconds=_START_SECONDS, alive=self.alive, pause=0.2
        ):
            self.stop()
            raise StackError(
                f"temporal-server did not start:\n{tail(self.log, 1)[:500]}"
            )

    @property
    def port(self) -> int:
        """Of the frontend, for SDK clients."""
        return self._ports["FRONTEND_GRPC_PORT"]

    @property
    def address(self) -> str:
        """Host and port for SDK clients."""
        return f"{LOOPBACK}:{self.port}"

    def ready(self) -> bool:
        """True when the frontend answers."""
        port = self._ports["FRONTEND_HTTP_PORT"]
        return http_status(port, "/api/v1/system-info", 2) == 200

    def _make_databases(self) -> None:
        role = sql.Identifier(ROLE)
        url = self._postgres.url("postgres", "postgres")
        with psycopg.connect(url, autocommit=True) as db:
            db.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    role, sql.Literal(self._password)
                )
            )
            for name in SCHEMAS:
                statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0")
                db.execute(statement.format(sql.Identifier(name), role))

    def _sql_tool(self, database: str, *command: str) -> None:
        where = ["--plugin", PLUGIN, "--ep", LOOPBACK, "--user", ROLE]
        where += ["--port", str(self._postgres.port), "--db", database]
        done = subprocess.run(
            [self._programs["temporal-sql-tool"], *where, *command],
            # Not among the arguments, which everybody on the machine can read.
            env={**os.environ, "SQL_PASSWORD": self._password},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode != 0:
            raise StackError(f"temporal-sql-tool {command[0]} failed:\n{done.stderr}")

    def _environment(self) -> dict[str, str]:
        dynamic = self._folder / "dynamic.yaml"
        dynamic.write_text(
            "".join(
                f"{name}:\n  - value: {json.dumps(value)}\n"
                for name, value in self._dynamic.items()
            )
        )
        clean = environment_without("TEMPORAL_", "VOTEPYRAMID_", "POSTGRES_")
        return clean | {
            "DB": PLUGIN,
            "DB_PORT": str(self._postgres.port),
            "POSTGRES_SEEDS": LOOPBACK,
            "POSTGRES_USER": ROLE,
            "POSTGRES_PWD": self._password,
            "DBNAME": "temporal",
            "VISIBILITY_DBNAME": "temporal_visibility",
            "NUM_HISTORY_SHARDS": str(self._shards),
            "SQL_MAX_CONNS": str(self._connections),
            "SQL_MAX_IDLE_CONNS": str(self._connections),
            "DYNAMIC_CONFIG_FILE_PATH": str(dynamic),
            "BIND_ON_IP": LOOPBACK,
            "TEMPORAL_BROADCAST_ADDRESS": LOOPBACK,
            "LOG_LEVEL": "warn",
            **{name: str(port) for name, port in self._ports.items()},
        }


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    for port in random.sample(_PORT_RANGE, len(_PORT_RANGE)):
        if is_free(port):
            found.append(port)
            if len(found) == count:
                return found
    raise StackError(f"No {count} ports are free from {_PORT_RANGE.start} on.")
