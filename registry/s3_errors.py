"""What the answers and failures of an S3 service mean: wait, lost, or stop and say why. Pure.

What was mistyped or is not allowed is a UsageError: a bucket, a profile, credentials, rights. What may be
the network's or the service's fault is an InfrastructureError, also when nothing answers at the endpoint: a
wrong address looks the same as a service that is down.

Codes as in Amazon's "Error responses" page, and as versitygw, MinIO and moto answer.
"""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from registry.errors import HeadgateError, InfrastructureError, UsageError

FAILURES = (BotoCoreError, ClientError, ResponseParserError)
"""Whatever a call may raise. A parser's error is an answer that was cut, or is no S3 answer."""

_BUSY = {
    *("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"),
    *("RequestTimeout", "ConditionalRequestConflict", "OperationAborted"),
}
_CREDENTIALS = (
    "check the credentials that boto3 finds here: AWS_PROFILE, AWS_ACCESS_KEY_ID or the machine's role"
)
_RIGHTS = (
    "allow s3:GetObject and s3:ListBucket, for what is written s3:PutObject and s3:DeleteObject too; without "
    "s3:ListBucket even a key that is missing looks forbidden"
)
_ENDPOINT = "check the address, and AWS_ENDPOINT_URL_S3 where the bucket is not Amazon's"
_AGAIN = "try again; it may be overloaded or restarting, or AWS_ENDPOINT_URL_S3 is not what you meant"
_SETTINGS = (
    "correct AWS_PROFILE, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3 (http://HOST:PORT), or the file they are in"
)
_CLOCK = "set this machine's clock right (NTP): a signature is valid for a quarter of an hour"
_DAMAGED = "try again; if it stays so, the object is damaged where it is kept: put it there again from a copy"
_UNABLE = "use a service that does If-None-Match and If-Match: without them two writers overwrite each other"
_REGION = "set AWS_DEFAULT_REGION to the bucket's region"
_NEXT_STEPS = {
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "NotImplemented": _UNABLE,
    "PreconditionFailed": "look for a proxy on the way that changes ETags: the value is still the old one",
}
_MISTAKES = {
    "NoSuchBucket": "create the bucket, or correct its name",
    "InvalidBucketName": "correct the bucket's name",
    "AccessDenied": _RIGHTS,
    "AllAccessDisabled": _RIGHTS,
    "403": _RIGHTS,  # what is asked for by its head only is refused without a word
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "ExpiredToken": _CREDENTIALS,
    "XAdminUserNotFound": _CREDENTIALS,
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
}
_NO_CREDENTIALS = (
    *(NoCredentialsError, PartialCredentialsError, CredentialRetrievalError),
    *(SSOError, TokenRetrievalError),
)


def code_of(problem: Exception) -> str:
    """The service's own word for it, such as ``NoSuchKey``; empty when it gave none."""
    return str(problem.response.get("Error", {}).get("Code", "")) if isinstance(problem, ClientError) else ""


def is_answer(problem: Exception) -> bool:
    """Whether the service refused: then nothing was written. After anything else nobody knows."""
    return isinstance(problem, ClientError) and _status(problem) < 500


def is_lost(problem: Exception) -> bool:
    """Whether the condition of a conditional write did not hold."""
    return code_of(problem) in {"PreconditionFailed", "412"} or is_missing(problem)


def is_missing(problem: Exception) -> bool:
    """Whether there is no such key; a 404 without that word may come from anyone on the way."""
    return code_of(problem) == "NoSuchKey"


def is_folder_clash(problem: Exception) -> bool:
    """Whether a service on a file system says that a key is the folder of another."""
    return code_of(problem) in {"ObjectParentIsFile", "ExistingObjectIsDirectory"}


def is_passing(problem: Exception) -> bool:
    """Whether waiting helps."""
    if isinstance(problem, ClientError):
        busy = code_of(problem) in _BUSY or _status(problem) == 429
        return busy or (_status(problem) >= 500 and code_of(problem) != "NotImplemented")
    if isinstance(problem, SSLError):
        return False
    return isinstance(problem, ConnectionError | HTTPClientError | IncompleteReadError | ResponseParserError)


def is_damaged(problem: Exception) -> bool:
    """Whether the bytes that came are not those of the checksum that the service sent along."""
    return isinstance(problem, FlexibleChecksumError)


def explained(problem: Exception, doing: str, place: str) -> HeadgateError:
    """The error to raise: ``doing`` what, on the store ``place``, ended in this problem."""
    code = code_of(problem)
    what = f"Cannot {doing} in {place}"
    why = _reason(problem)
    if code in _MISTAKES:
        return UsageError(what, why=why, next_step=_MISTAKES[code])
    if isinstance(problem, _NO_CREDENTIALS):
        return UsageError(what, why=why, next_step=_CREDENTIALS)
    next_step = _DAMAGED if is_damaged(problem) else _NEXT_STEPS.get(code)
    if next_step is None:
        next_step = _AGAIN if is_passing(problem) else _ENDPOINT
    return InfrastructureError(what, why=why, next_step=next_step)


def unusable(problem: Exception) -> UsageError:
    """The error to raise when boto3 makes no client of the settings here."""
    return UsageError("The settings for S3 cannot be used", why=_reason(problem), next_step=_SETTINGS)


def _reason(problem: Exception) -> str:
    if isinstance(problem, ClientError):
        said = problem.response.get("Error", {})
        return f"the service answered {_status(problem)} {said.get('Code', '')}: {said.get('Message', '')}"
    return " ".join(str(problem).split())[:300] or type(problem).__name__


def _status(problem: ClientError) -> int:
    return int(problem.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
