"""Takes secrets out of text before it is logged or put into an error. Pure: values in, values out.

A secret is the value of an environment variable named like one, a hub token, a bearer header, or
the password in a URL. Short values are left alone: redacting every ``1`` hides the log, not a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

REDACTED = "[redacted]"
_SHORTEST = 8  # characters; real tokens and passwords are longer, flags and numbers are not
# HF_TOKEN and API_KEY, but not TOKENIZERS_PARALLELISM, and TOKENIZERS_ is why the end is anchored.
_SECRET_NAME = re.compile(
    r"(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|AUTH_STRING|KEY)S?(_|$)", re.IGNORECASE
)
_SHAPES = (
    re.compile(r"(?<![A-Za-z0-9])()hf_[A-Za-z0-9]{16,}"),
    re.compile(r"(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"),
)


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name is taken for a secret: kept from servers, and out of logs."""
    return bool(_SECRET_NAME.search(name))


def without_secrets(env: Mapping[str, str]) -> dict[str, str]:
    """The environment without variables named like secrets: for daemons, which need none and live long."""
    return {name: value for name, value in env.items() if not is_secret_name(name)}


@dataclass(frozen=True)
class Redactor:
    """Replaces known secrets, longest first so that one inside another leaves no rest."""

    secrets: tuple[str, ...] = ()

    @classmethod
    def of_environment(cls, env: Mapping[str, str]) -> Redactor:
        """A redactor for the values of all variables named like secrets."""
        values = (value for name, value in env.items() if is_secret_name(name))
        # A key file in a variable has many lines, and logs are read line by line.
        lines = {line.strip() for value in values for line in value.splitlines()}
        return cls(tuple(sorted((s for s in lines if len(s) >= _SHORTEST), key=len, reverse=True)))

    def __call__(self, text: str) -> str:
        """The text without its secrets."""
        for secret in self.secrets:
            text = text.replace(secret, REDACTED)
        for shape in _SHAPES:
            text = shape.sub(rf"\1{REDACTED}", text)
        return text
