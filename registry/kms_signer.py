"""Signs with a key that stays in a key service: AWS KMS, Google Cloud KMS, Azure Key Vault.

securesystemslib speaks to the services, with the credentials their own tools would use. What comes back is
checked against the public half before it is believed: a service's alias may have been moved to another key.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import AWSSigner, AzureSigner, GCPSigner, Signer, SSlibKey

from registry.errors import HeadgateError, InfrastructureError, UsageError
from registry.trust import TrustedKey, check_curve, read_public_key, write_public_key

_CREDENTIALS = "check the key's name, the credentials and region in the environment, and the right to use it"


@dataclass(frozen=True)
class KmsSigner:
    """A ``bundle.Signer`` whose private key is in a service. ``key`` is its public half, kept on disk.

    Nothing is asked of the service before the first signature.
    """

    uri: str
    key: TrustedKey

    @property
    def public_pem(self) -> str:
        """The public half in PEM."""
        return self.key.pem

    @property
    def key_id(self) -> str:
        """What the public half is known by."""
        return self.key.key_id

    def sign(self, data: bytes) -> bytes:
        """The ECDSA signature in DER; UsageError or InfrastructureError when the service gives none."""
        try:
            signature = bytes.fromhex(self._service.sign(data).signature)
        except Exception as problem:  # each service's SDK has errors of its own
            raise _unusable(self.uri, problem) from problem
        if not self.key.verifies(signature, data):
            why = f"{self.uri} signed with another key than the one that is known for it here"
            next_step = "run `headgate keys rotate --from` with the URI to take the new key"
            raise UsageError("The signature does not hold", why=why, next_step=next_step)
        return signature

    @cached_property
    def _service(self) -> Signer:
        return Signer.from_priv_key_uri(self.uri, SSlibKey.from_crypto(self.key.public))


def read_kms_key(uri: str) -> tuple[str, str]:
    """The URI to sign with and the public key in PEM, asked of the service.

    The URI names the key's version where the service has versions and the caller named none. Raises
    UsageError for a key that is not on P-256, InfrastructureError when the service does not answer.
    """
    scheme, _, path = uri.partition(":")
    try:
        match scheme:
            case AWSSigner.SCHEME:
                found, key = AWSSigner.import_(path)
            case GCPSigner.SCHEME:
                found, key = GCPSigner.import_(path)
            case AzureSigner.SCHEME:
                found, key = AzureSigner.import_(*_vault_and_name(uri))
            case _:
                services = ", ".join(f"{s.SCHEME}:" for s in (AWSSigner, GCPSigner, AzureSigner))
                raise UsageError(f"{uri!r} names no key service", why=f"known: {services}")
        public = read_public_key(key.keyval["public"])
        check_curve(public)
        return found, write_public_key(public)
    except HeadgateError:
        raise
    except ValueError as problem:
        raise UsageError(f"The key {uri} cannot sign evidence", why=str(problem)) from problem
    except Exception as problem:  # each service's SDK has errors of its own
        raise _unusable(uri, problem) from problem


def _vault_and_name(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    vault, _, rest = (parts.hostname or "").partition(".")
    steps = parts.path.split("/")
    if not vault or not rest or len(steps) < 3 or steps[1] != "keys" or not steps[2]:
        raise ValueError("expected azurekms://<vault>.vault.azure.net/keys/<name>")
    return vault, steps[2]


def _unusable(uri: str, problem: Exception) -> HeadgateError:
    why = f"{type(problem).__name__}: {problem}"
    what = f"The key {uri} cannot be used"
    if isinstance(problem, UnsupportedLibraryError):
        return UsageError(what, why=why, next_step="install that library beside Headgate")
    return InfrastructureError(what, why=why, next_step=_CREDENTIALS)
