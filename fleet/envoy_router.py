"""Puts configuration into a running Envoy: xDS files by atomic rename, confirmed through its statistics.

Clusters and hosts come before the routes that need them and leave after, so no request meets a route to
nowhere. What the configuration says is ``fleet/envoy_config.py``'s; who keeps Envoy running is the gateway's.
"""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fleet.envoy_config import ROUTES, STAT_PREFIX, Config
from registry.atomic import write_file
from registry.errors import InfrastructureError

_STATISTICS = {
    "lds.json": "listener_manager.lds",
    "cds.json": "cluster_manager.cds",
    "rds.json": f"http.{STAT_PREFIX}.rds.{ROUTES}",
}
_CONFIRM_SECONDS = 15.0
_POLL_SECONDS = 0.05
_ADMIN_TIMEOUT = 5.0


@dataclass(frozen=True)
class EnvoyAdmin:
    """Envoy's admin interface on loopback, found through the file in which Envoy wrote its address."""

    address_file: Path

    def request(self, method: str, path: str) -> str:
        """The reply's text; raises InfrastructureError when Envoy does not answer."""
        try:
            host, _, port = self.address_file.read_text().strip().rpartition(":")
            connection = http.client.HTTPConnection(host, int(port), timeout=_ADMIN_TIMEOUT)
            try:
                connection.request(method, path)
                return connection.getresponse().read().decode()
            finally:
                connection.close()
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise InfrastructureError(
                "the gateway's admin interface does not answer",
                why=str(error) or type(error).__name__,
                next_step=f"see envoy.log in {self.address_file.parent.parent}; the next command restarts it",
            ) from error

    def statistics(self, pattern: str) -> dict[str, str]:
        """The statistics whose names match a regular expression, as text."""
        lines = (
            line.partition(": ") for line in self.request("GET", f"/stats?filter={pattern}").splitlines()
        )
        return {name: value.strip('"') for name, _, value in lines}

    def requests_in_flight(self, revision: str) -> int:
        """How many requests a revision's replicas are answering now."""
        name = f"cluster.{revision}.upstream_rq_active"
        return int(self.statistics(f"^{re.escape(name)}$").get(name, "0"))


@dataclass(frozen=True)
class EnvoyRouter:
    """The xDS files of one Envoy and the admin interface that confirms them."""

    directory: Path
    admin: EnvoyAdmin

    def write(self, files: Mapping[str, Config]) -> None:
        """Lay the files down for an Envoy that is yet to start."""
        for name, config in files.items():
            self._write(name, config)

    def publish(self, files: Mapping[str, Config]) -> None:
        """Bring a running Envoy from the files it has to these; raises InfrastructureError if it refuses."""
        wanted = files["cds.json"]
        self._put("cds.json", self._with_present_clusters(wanted))
        self._put("rds.json", files["rds.json"])
        self._put("cds.json", wanted)
        self._put("lds.json", files["lds.json"])

    def confirm(self, files: Mapping[str, Config]) -> None:
        """Wait until Envoy runs on these very files; raises InfrastructureError."""
        for name, config in files.items():
            self._confirm(name, config, rejected_before=0)

    def _put(self, name: str, config: Config) -> None:
        if self._present(name) == config:
            self._confirm(name, config, rejected_before=self._rejections(name))
            return
        before, present = self._rejections(name), self._present(name)
        self._write(name, config)
        try:
            self._confirm(name, config, rejected_before=before)
        except InfrastructureError:
            self._write(name, present)  # an Envoy that restarts must find what worked
            raise

    def _with_present_clusters(self, wanted: Config) -> Config:
        """The wanted clusters, beside those the present routes still need: gone ones, and emptied ones.

        A host that refuses connections is retried on stable; a cluster without hosts is a 503.
        """
        present = {cluster["name"]: cluster for cluster in self._present("cds.json").get("resources", [])}
        resources = {cluster["name"]: cluster for cluster in wanted["resources"]}
        for name, cluster in present.items():
            if name not in resources or (_hosts(cluster) and not _hosts(resources[name])):
                resources[name] = cluster
        if list(resources.values()) == wanted["resources"]:
            return wanted
        return {"version_info": f"{wanted['version_info']}+", "resources": list(resources.values())}

    def _confirm(self, name: str, config: Config, *, rejected_before: int) -> None:
        deadline = time.monotonic() + _CONFIRM_SECONDS
        wanted = config["version_info"]
        while True:
            numbers = self._numbers(name)
            if numbers.get("version_text") == wanted:
                return
            if _rejected(numbers) > rejected_before:
                why = f"it refused {name} of version {wanted} and keeps the one before"
                break
            if time.monotonic() > deadline:
                why = f"it did not take up {name} of version {wanted} within {_CONFIRM_SECONDS:g} s"
                break
            time.sleep(_POLL_SECONDS)
        raise InfrastructureError(
            "the gateway did not accept its configuration",
            why=why,
            next_step=f"see the reason in envoy.log in {self.directory.parent.parent}",
        )

    def _rejections(self, name: str) -> int:
        return _rejected(self._numbers(name))

    def _numbers(self, name: str) -> dict[str, str]:
        prefix = _STATISTICS[name]
        found = self.admin.statistics(
            f"^{re.escape(prefix)}%5C.(version_text|update_rejected|update_failure)$"
        )
        return {key.removeprefix(f"{prefix}."): value for key, value in found.items()}

    def _present(self, name: str) -> Config:
        try:
            value: Config = json.loads((self.directory / name).read_text())
        except (OSError, ValueError):
            return {}
        return value

    def _write(self, name: str, config: Config) -> None:
        write_file(self.directory / name, json.dumps(config, indent=1).encode())


def _rejected(numbers: Mapping[str, str]) -> int:
    """Files Envoy could not read, and files it read and refused."""
    return int(numbers.get("update_rejected", 0)) + int(numbers.get("update_failure", 0))


def _hosts(cluster: Config) -> bool:
    groups = cluster.get("load_assignment", {}).get("endpoints", [])
    return any(group["lb_endpoints"] for group in groups)
