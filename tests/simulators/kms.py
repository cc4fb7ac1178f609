"""An AWS KMS on loopback: moto's, taught to sign digests as the real one does (it hashes them again)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import boto3
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from moto.kms.utils import ECDSAPrivateKey
from moto.server import ThreadedMotoServer

from registry.trust import HASHES


@contextmanager
def running_kms() -> Iterator[dict[str, str]]:
    """The environment in which AWS's tools, and Headgate, find it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with patch.object(ECDSAPrivateKey, "sign", _sign_digest):
        server.start()
        host, port = server.get_host_and_port()
        try:
            yield {
                "AWS_ENDPOINT_URL_KMS": f"http://{host}:{port}",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_DEFAULT_REGION": "eu-west-1",
                "AWS_MAX_ATTEMPTS": "1",
            }
        finally:
            server.stop()


def create_key(alias: str, spec: str = "ECC_NIST_P256") -> str:
    """Make a key under an alias, in the KMS that the environment names; returns its URI."""
    client = boto3.client("kms")
    key_id = client.create_key(KeyUsage="SIGN_VERIFY", KeySpec=spec)["KeyMetadata"]["KeyId"]
    client.create_alias(AliasName=f"alias/{alias}", TargetKeyId=key_id)
    return f"awskms:alias/{alias}"


def _sign_digest(self: ECDSAPrivateKey, message: bytes, signing_algorithm: str) -> bytes:
    del signing_algorithm  # one per curve
    hashed = Prehashed(HASHES[self.private_key.curve.name])
    return self.private_key.sign(message, ECDSA(hashed))
