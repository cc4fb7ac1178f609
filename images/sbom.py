"""A runtime's software bill of materials: CycloneDX 1.6, one library per installed distribution. Pure.

The same runtime gives the same document: no clock, no serial number. The digest over a distribution's files
is a property, not a ``hash``: those are of the archive it came in, which is not known once it is installed.
"""

from __future__ import annotations

from typing import Any

from images.runtime import Distribution, Runtime


def sbom_of(runtime: Runtime) -> dict[str, Any]:
    """The document, as JSON values."""
    subject = {
        "type": "application",
        "bom-ref": f"headgate-runtime@{runtime.digest}",
        "name": "headgate-runtime",
        "version": str(runtime.digest),
    }
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": subject},
        "components": [_component(distribution) for distribution in runtime.distributions],
    }


def _component(distribution: Distribution) -> dict[str, Any]:
    purl = f"pkg:pypi/{distribution.name}@{_quoted(distribution.version)}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": distribution.name,
        "version": distribution.version,
        "purl": purl,
        "properties": [{"name": "headgate:content", "value": str(distribution.content)}],
    }


def _quoted(version: str) -> str:
    # Of the characters a version may have (PEP 440), a purl percent-encodes these: a local one has a plus.
    return version.replace("%", "%25").replace("+", "%2B").replace("!", "%21")
