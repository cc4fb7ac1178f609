"""Signed statements: a DSSE envelope in a sigstore bundle, the form cosign and model-signing read. Pure.

The same bytes lie in the store and in the OCI referrer. Formats: DSSE v1 (``protocol.md``), sigstore
protobuf-specs ``sigstore_bundle.proto`` v0.3 with a public key as verification material.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Protocol

from registry.data_errors import worded
from registry.digest import canonical_json
from registry.statement import PAYLOAD_TYPE, Statement
from registry.trust import Trust

BUNDLE_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


class Signer(Protocol):
    """A private key: in a file, in memory, or in a service that never hands it out."""

    @property
    def public_pem(self) -> str:
        """The public half in PEM."""
        ...

    @property
    def key_id(self) -> str:
        """What the public half is known by (``trust.key_id``)."""
        ...

    def sign(self, data: bytes) -> bytes:
        """The ECDSA signature in DER; raises HeadgateError when the key cannot be used."""
        ...


@dataclass(frozen=True)
class Sealed:
    """A statement, and who vouches for it.

    ``signer`` is the name of the trusted key whose signature holds, or None; then ``doubt`` says why.
    """

    statement: Statement
    key_id: str
    signer: str | None
    doubt: str = ""


def seal(statement: Statement, signer: Signer) -> bytes:
    """The signed statement, as the canonical JSON of a bundle."""
    payload = statement.to_bytes()
    signature = signer.sign(_signed_bytes(payload))
    bundle = {
        "mediaType": BUNDLE_MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": signer.key_id}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode()}],
        },
    }
    return canonical_json(bundle)


def unseal(data: bytes, trust: Trust) -> Sealed:
    """The statement in a bundle, and whether a trusted key signed it; ValueError when it is no bundle.

    A statement nobody trusted signed is returned, not refused: what it may do is for the policy to say.
    """
    try:
        bundle = json.loads(data)
        envelope = bundle["dsseEnvelope"]
        if (bundle["mediaType"], envelope["payloadType"]) != (BUNDLE_MEDIA_TYPE, PAYLOAD_TYPE):
            raise ValueError("another media type or payload type")
        key_id = str(bundle["verificationMaterial"]["publicKey"]["hint"])
        payload = base64.b64decode(envelope["payload"], validate=True)
        (entry,) = envelope["signatures"]
        signature = base64.b64decode(entry["sig"], validate=True)
        statement = Statement.from_json(json.loads(payload))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as problem:
        raise ValueError(f"not a signed statement ({worded(problem)})") from problem
    return _checked(statement, payload, key_id, signature, trust)


def _checked(statement: Statement, payload: bytes, key_id: str, signature: bytes, trust: Trust) -> Sealed:
    trusted = trust.find(key_id)
    if trusted is None:
        return Sealed(statement, key_id, None, f"it is signed by the key {key_id[:12]}, not trusted here")
    if not trusted.verifies(signature, _signed_bytes(payload)):
        return Sealed(statement, key_id, None, f"its signature by {trusted.name} does not match its content")
    return Sealed(statement, key_id, trusted.name)


def _signed_bytes(payload: bytes) -> bytes:
    # DSSE's pre-authentication encoding: lengths before parts, so no two messages share one.
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
