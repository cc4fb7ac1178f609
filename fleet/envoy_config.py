"""Envoy's configuration as plain dicts: bootstrap, listener, clusters, routes. Pure.

One cluster per revision, so promotion only moves a pointer in the routes. With a canary, its share goes to
a composite cluster (canary, then stable): a request the canary fails before its first byte is tried once
more on stable, and the access log tells both who was chosen (``arm``) and who answered (``revision``).
Sessions stick by ``x-session-id``; a rising weight only ever adds sessions to the canary. Timeouts are off
because streams may be long. Facts measured on Envoy 1.40.0. Writing and confirming is ``envoy_router``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

from fleet.router import Route
from registry.digest import Digest

_TYPE = "type.googleapis.com/"
_HOST = "127.0.0.1"
ROUTES = "main"
STAT_PREFIX = "ingress"
ARM_HEADER = "x-headgate-arm"
VERSION_HEADER = "x-headgate-version"
SESSION_HEADER = "x-session-id"
_ANSWERED_BY = "%UPSTREAM_METADATA(envoy.lb:version)%"
# Long streams fill the defaults (1024 requests, 3 retries at a time) long before a replica is full.
_MANY = 100_000
_LARGEST_EVENT = 1 << 20  # bytes in one SSE event; the default of 8 KiB loses log-probabilities

Config = dict[str, Any]


def envoy_command(envoy: str, bootstrap: Path, admin_address: Path) -> list[str]:
    """The argument list that runs Envoy; it writes the address of its admin interface to a file."""
    return [
        *(envoy, "--config-path", str(bootstrap)),
        *("--admin-address-path", str(admin_address)),
        *("--concurrency", "2"),
        *("--file-flush-interval-msec", "200"),
        *("--log-level", "warning"),
        # Notes that a filter is marked as work in progress, at every reload; ours were measured.
        *("--component-log-level", "misc:error"),
        "--disable-hot-restart",
    ]


def bootstrap(name: str, directory: Path) -> Config:
    """The static part: who we are, an admin interface on a free loopback port, and where xDS files lie."""
    return {
        "node": {"id": name, "cluster": "headgate"},
        "admin": {"address": _address(0)},
        "dynamic_resources": {
            "lds_config": _from_file(directory, "lds.json"),
            "cds_config": _from_file(directory, "cds.json"),
        },
    }


def listener(port: int, access_log: Path, directory: Path) -> Config:
    """The gateway's listener on loopback; ``directory`` holds the routes."""
    manager = {
        "@type": _TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": STAT_PREFIX,
        "codec_type": "AUTO",
        "stream_idle_timeout": "0s",
        "request_timeout": "0s",
        "rds": {"route_config_name": ROUTES, "config_source": _from_file(directory, "rds.json")},
        "http_filters": [_token_filter(), _router_filter()],
        "access_log": [_access_log(access_log)],
    }
    return _versioned(
        {
            "@type": _TYPE + "envoy.config.listener.v3.Listener",
            "name": "gateway",
            "address": _address(port),
            "enable_reuse_port": False,  # or two gateways could share a port without noticing
            "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
        }
    )


def clusters(endpoints: Mapping[str, Sequence[int]]) -> Config:
    """A cluster per revision with its loopback ports, and a composite for each of them before another.

    The composites are there whatever the route: a request under way when the route moves still finds
    the one it would be tried again through.
    """
    found = [_cluster(revision, ports) for revision, ports in sorted(endpoints.items())]
    found += [_composite(first, second) for first, second in permutations(sorted(endpoints), 2)]
    return _versioned(*found)


def routes(route: Route) -> Config:
    """Everything to stable, or the canary's weight to the canary first, or a 503 while there is nobody."""
    if not route.stable:
        message = '{"error":{"message":"no model is served here yet","type":"headgate","code":503}}'
        reply = {
            "match": {"prefix": "/"},
            "direct_response": {"status": 503, "body": {"inline_string": message}},
        }
        return _route_configuration(reply)
    shares = [_share(route.stable, route.stable, 100 - route.canary_weight)]
    if route.canary:
        # First in the list: the hash then gives the canary the same sessions at every higher weight.
        shares.insert(
            0, _share(route.canary, composite_name(route.canary, route.stable), route.canary_weight)
        )
    action = {
        "weighted_clusters": {"clusters": shares, "use_hash_policy": True},
        "hash_policy": [{"header": {"header_name": SESSION_HEADER}, "terminal": True}],
        "timeout": "0s",
        "idle_timeout": "0s",
    }
    if route.canary:
        action["retry_policy"] = {
            "retry_on": "5xx,reset-before-request,connect-failure,refused-stream",
            "num_retries": 1,
            "per_try_timeout": "0s",
        }
    header = {"key": VERSION_HEADER, "value": _ANSWERED_BY}
    return _route_configuration(
        {
            "match": {"prefix": "/"},
            "route": action,
            "response_headers_to_add": [_overwrite(header)],
        }
    )


def composite_name(canary: str, stable: str) -> str:
    """The cluster that tries the canary and then stable. No revision's name holds a ``+``."""
    return f"{canary}+{stable}"


def _share(arm: str, cluster: str, weight: int) -> Config:
    header = {"key": ARM_HEADER, "value": arm}
    return {"name": cluster, "weight": weight, "request_headers_to_add": [_overwrite(header)]}


def _overwrite(header: Config) -> Config:
    return {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _route_configuration(entry: Config) -> Config:
    return _versioned(
        {
            "@type": _TYPE + "envoy.config.route.v3.RouteConfiguration",
            "name": ROUTES,
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [entry]}],
        }
    )


def _cluster(revision: str, ports: Sequence[int]) -> Config:
    hosts = [
        {
            "endpoint": {"address": _address(port)},
            "metadata": {"filter_metadata": {"envoy.lb": {"version": revision}}},
        }
        for port in ports
    ]
    return {
        "@type": _TYPE + "envoy.config.cluster.v3.Cluster",
        "name": revision,
        "type": "STATIC",
        "connect_timeout": "2s",
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {"cluster_name": revision, "endpoints": [{"lb_endpoints": hosts}]},
        "circuit_breakers": _open_breakers(),
    }


def _composite(canary: str, stable: str) -> Config:
    members = [{"name": canary}, {"name": stable}]
    kind = {"@type": _TYPE + "envoy.extensions.clusters.composite.v3.ClusterConfig", "clusters": members}
    return {
        "@type": _TYPE + "envoy.config.cluster.v3.Cluster",
        "name": composite_name(canary, stable),
        "connect_timeout": "2s",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {"name": "envoy.clusters.composite", "typed_config": kind},
        "circuit_breakers": _open_breakers(),
    }


def _open_breakers() -> Config:
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return {"thresholds": [{"priority": "DEFAULT", **dict.fromkeys(limits, _MANY)}]}


def _token_filter() -> Config:
    """Copies token counts, the error code and the fingerprint out of the stream's events into the log."""
    rules = [
        _rule(("usage", "prompt_tokens"), "prompt_tokens", "NUMBER"),
        _rule(("usage", "completion_tokens"), "completion_tokens", "NUMBER"),
        _rule(("error", "code"), "stream_error", "STRING"),
        _rule(("system_fingerprint",), "fingerprint", "STRING"),
    ]
    parser = {"@type": _TYPE + "envoy.extensions.content_parsers.json.v3.JsonContentParser", "rules": rules}
    return {
        "name": "envoy.filters.http.sse_to_metadata",
        "typed_config": {
            "@type": _TYPE + "envoy.extensions.filters.http.sse_to_metadata.v3.SseToMetadata",
            "response_rules": {
                "max_event_size": _LARGEST_EVENT,
                "content_parser": {"name": "envoy.content_parsers.json", "typed_config": parser},
            },
        },
    }


def _rule(path: Sequence[str], key: str, kind: str) -> Config:
    present = {"metadata_namespace": "llm", "key": key, "type": kind}
    return {"rule": {"selectors": [{"key": part} for part in path], "on_present": present}}


def _router_filter() -> Config:
    router = {"@type": _TYPE + "envoy.extensions.filters.http.router.v3.Router"}
    return {"name": "envoy.filters.http.router", "typed_config": router}


def _access_log(path: Path) -> Config:
    """One JSON line per request; ``fleet/access_log.py`` reads these names."""
    fields = {
        "started": "%START_TIME(%s.%3f)%",
        "arm": f"%REQ({ARM_HEADER})%",
        "revision": _ANSWERED_BY,
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "stream_error": "%DYNAMIC_METADATA(llm:stream_error)%",
        # The first byte of the body: headers leave before the first token is computed.
        "ttft_us": "%COMMON_DURATION(DS_RX_BEG:US_RX_BODY_BEG:us)%",
        "total_ms": "%DURATION%",
        "prompt_tokens": "%DYNAMIC_METADATA(llm:prompt_tokens)%",
        "completion_tokens": "%DYNAMIC_METADATA(llm:completion_tokens)%",
        "fingerprint": "%DYNAMIC_METADATA(llm:fingerprint)%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "session": f"%REQ({SESSION_HEADER})%",
        "method": "%REQ(:METHOD)%",
        "path": "%REQ(:PATH)%",
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": _TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(path),
            "log_format": {"json_format": fields},
        },
    }


def _address(port: int) -> Config:
    return {"socket_address": {"address": _HOST, "port_value": port}}


def _from_file(directory: Path, name: str) -> Config:
    # The whole folder is watched: Envoy sees renames into it, and never an in-place write.
    source = {"path": str(directory / name), "watched_directory": {"path": str(directory)}}
    return {"resource_api_version": "V3", "path_config_source": source}


def _versioned(*resources: Config) -> Config:
    """A discovery response whose version is the digest of its content."""
    return {"version_info": Digest.of_json(list(resources)).short, "resources": list(resources)}
