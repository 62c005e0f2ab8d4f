"""Temporal's web console as a process of its own.

The console inside the development server can be given a codec server's address, but
not be told to send the sign-in along; this one can, and it is what production runs.
"""

from __future__ import annotations

import json
from pathlib import Path

from votepyramid.stack.children import Child, environment_without
from votepyramid.stack.ports import LOOPBACK, free_port
from votepyramid.stack.program import http_status

_START_SECONDS = 30.0


class WebConsole(Child):
    """`temporal-ui-server` on loopback, with its configuration in `folder`."""

    def __init__(
        self,
        program: Path,
        folder: Path,
        *,
        temporal_address: str,
        codec_endpoint: str,
        port: int | None = None,
        log: Path,
        record: Path | None = None,
    ) -> None:
        super().__init__(log, record)
        self.port = free_port(port)
        self._program = program
        self._folder = folder
        self._configuration = {
            "temporalGrpcAddress": temporal_address,
            "host": LOOPBACK,
            "port": self.port,
            "enableUi": True,
            "defaultNamespace": "default",
            "disableNewsFetch": True,
            # Without TLS on loopback its cookies could not be set otherwise.
            "cors": {"cookieInsecure": True},
            "codec": {"endpoint": codec_endpoint, "includeCredentials": True},
        }

    def start(self) -> None:
        """Start and wait until it answers. Raises StackError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # JSON is YAML.
        (self._folder / "console.yaml").write_text(json.dumps(self._configuration))
        self._spawn(
            [
                *(self._program, "--root", self._folder, "--config", "."),
                *("--env", "console", "start"),
            ],
            env=environment_without("TEMPORAL_"),
        )
        self._wait_ready(
            "The console",
            lambda: http_status(self.port, "/api/v1/settings") == 200,
            _START_SECONDS,
        )

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://{LOOPBACK}:{self.port}"
