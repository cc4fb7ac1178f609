"""S3Store against services that fail, lie, refuse and forget to answer: what was written is always known."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.errors import HeadgateError, InfrastructureError, UsageError
from registry.home import Home
from registry.open_store import open_store
from registry.publish import list_versions, publish
from registry.s3_store import S3Store, s3_client
from tests.simulators.records import digest, draft
from tests.simulators.s3_faults import Fault, Faults, faulty_proxy
from tests.simulators.s3_servers import BUCKET, S3Server, any_server, s3_server

_PASSING = [fault for fault in Fault if fault.passes]
_QUICK = [fault for fault in _PASSING if not fault.value.startswith("silent")]
_NUMBERS = count()


@dataclass
class Trouble:
    """A store whose requests pass a proxy that fails them, and one that reaches the service itself."""

    server: S3Server
    proxy: str
    faults: Faults
    pauses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.direct, self.through = self.server.client(), self.server.client(self.proxy)

    def stores(self) -> tuple[S3Store, S3Store]:
        """A troubled and a calm store over the same, empty prefix."""
        self.faults.choose = lambda _method, _path: None
        prefix = f"store-{next(_NUMBERS)}"
        calm = S3Store(self.direct, BUCKET, prefix)
        troubled = S3Store(self.through, BUCKET, prefix, sleep=self.pauses.append)
        troubled.put_if_absent("warm-up", b"")
        self.pauses.clear()  # a busy machine may have had it wait
        return troubled, calm


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trouble]:
    """A real service behind a proxy that fails on purpose; who gets no answer waits half a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("registry.s3_store._ANSWER_S", 0.5)
        folder = tmp_path_factory.mktemp("s3") / "data"
        with s3_server(any_server(), folder) as server, faulty_proxy(server.endpoint) as (proxy, faults):
            yield Trouble(server, proxy, faults)


@pytest.mark.parametrize("fault", _PASSING, ids=lambda fault: fault.value)
def test_a_write_that_met_trouble_is_written_once_and_known_to_be(trouble: Trouble, fault: Fault) -> None:
    """Whether the service carried it out before or after the trouble, the answer is the true one."""
    store, calm = trouble.stores()
    trouble.faults.next(fault)
    assert store.put_if_absent("a", b"1")
    trouble.faults.next(fault)
    assert not store.put_if_absent("a", b"other")
    trouble.faults.next(fault)
    assert store.compare_and_swap("a", b"1", b"2")
    trouble.faults.next(fault)
    assert not store.compare_and_swap("a", b"1", b"3")
    assert calm.get("a") == b"2"


@pytest.mark.parametrize("fault", _PASSING, ids=lambda fault: fault.value)
def test_a_read_that_met_trouble_is_read_again(trouble: Trouble, fault: Fault) -> None:
    """A value cut short is never taken for the value, nor an error for nothing."""
    store, calm = trouble.stores()
    calm.put_if_absent("a/b", b"value" * 1000)
    trouble.faults.next(fault, fault, method="GET")
    assert store.get("a/b") == b"value" * 1000
    trouble.faults.next(fault, method="GET")
    assert list(store.list("a/")) == ["a/b"]
    trouble.faults.next(fault, method="DELETE")
    store.delete("a/b")
    assert calm.get("a/b") is None


@pytest.mark.parametrize("fault", [Fault.CLOSED_AFTER, Fault.BROKEN_AFTER, Fault.REPEATED])
def test_a_writer_without_an_answer_knows_itself_under_later_writes(trouble: Trouble, fault: Fault) -> None:
    """Others have swapped its value already: by bytes alone it would think it lost, and write twice."""
    store, calm = trouble.stores()
    calm.put_if_absent("count", b"1")
    trouble.faults.next(fault)
    done = threading.Event()

    def swap_on(_seconds: float = 0) -> None:
        for number in range(2, 12):
            done.set() if calm.compare_and_swap("count", b"%d" % number, b"%d" % (number + 1)) else None

    store._sleep = swap_on
    assert store.compare_and_swap("count", b"1", b"2")
    assert done.is_set() or fault is Fault.REPEATED


def test_a_write_that_arrives_late_changes_nothing_any_more(trouble: Trouble) -> None:
    """It hung somewhere on the way, while the writer tried again and went on."""
    store, calm = trouble.stores()
    trouble.faults.next(Fault.LATE)
    assert store.put_if_absent("a", b"1")
    trouble.faults.next(Fault.LATE)
    assert store.compare_and_swap("a", b"1", b"2")
    assert store.compare_and_swap("a", b"2", b"3")
    time.sleep(0.5)
    assert calm.get("a") == b"3"


def test_when_it_cannot_be_known_that_is_said(trouble: Trouble) -> None:
    """After more writes than an object remembers, or a removal: no guess."""
    store, calm = trouble.stores()

    def swap_on(_seconds: float) -> None:
        for number in range(2, 100):
            calm.compare_and_swap("count", b"%d" % number, b"%d" % (number + 1))

    calm.put_if_absent("count", b"1")
    store._sleep = swap_on
    trouble.faults.next(Fault.CLOSED_AFTER)
    with pytest.raises(InfrastructureError, match="Cannot tell whether it could write count in s3://"):
        store.compare_and_swap("count", b"1", b"2")
    calm.put_if_absent("gone", b"1")
    store._sleep = lambda _seconds: calm.delete("gone")
    trouble.faults.next(Fault.CLOSED_AFTER)
    with pytest.raises(InfrastructureError, match="Cannot tell whether it could write gone"):
        store.compare_and_swap("gone", b"1", b"2")


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.none() | st.sampled_from([b"1", b"2"]),
        st.sampled_from([b"1", b"2", b"3"]),
        st.lists(st.none() | st.sampled_from(_QUICK), max_size=4),
        st.lists(st.none() | st.sampled_from(_QUICK), max_size=3),
    ),
    max_size=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_STEPS)
def test_any_trouble_leaves_a_dictionary(trouble: Trouble, steps: list[tuple[Any, ...]]) -> None:
    """Every answer is right for a single writer, whatever its writes and reads went through."""
    store, calm = trouble.stores()
    model: dict[str, bytes] = {}
    for key, expected, new, on_write, on_read in steps:
        left = {"PUT": list(on_write), "GET": list(on_read)}
        trouble.faults.choose = lambda m, _path, left=left: left[m].pop(0) if left.get(m) else None
        matches = model.get(key) == expected
        assert store.compare_and_swap(key, expected, new) == matches
        if matches:
            model[key] = new
        assert calm.get(key) == model.get(key)


def test_many_writers_in_trouble_lose_no_update(trouble: Trouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request in four fails, half of those after it was carried out; the count is exact."""
    monkeypatch.setattr("registry.s3_store._PAUSES", (0.1,) * 12)  # six failures in a row do happen
    _, calm = trouble.stores()
    prefix = repr(calm).rpartition("/")[2]
    dice = random.Random(7)
    trouble.faults.choose = lambda _method, _path: dice.choice(_QUICK) if dice.random() < 0.25 else None

    def increments(_: int) -> int:
        store = S3Store(trouble.through, BUCKET, prefix, sleep=lambda _s: None)
        for _ in range(15):
            while True:
                current = store.get("count")
                if store.compare_and_swap("count", current, b"%d" % (int(current or 0) + 1)):
                    break
        return 15

    with ThreadPoolExecutor(6) as pool:
        total = sum(pool.map(increments, range(6)))
    assert calm.get("count") == b"%d" % total


def test_publishers_in_trouble_make_one_version_of_each_content(trouble: Trouble) -> None:
    """Four machines release the same five things over a bad line."""
    troubled, calm = trouble.stores()
    dice = random.Random(11)
    trouble.faults.choose = lambda _method, _path: dice.choice(_QUICK) if dice.random() < 0.15 else None
    drafts = [draft(image=digest(str(number % 5))) for number in range(20)]
    with ThreadPoolExecutor(4) as pool:
        published = list(pool.map(partial(publish, troubled), drafts))
    assert len({(version.image, version.number) for version in published}) == 5
    assert [version.number for version in list_versions(calm)] == [1, 2, 3, 4, 5]


def test_trouble_that_does_not_pass_ends_with_what_to_do(trouble: Trouble) -> None:
    """After waits that grow, never for ever; of a write it says that it may have happened."""
    store, _ = trouble.stores()
    trouble.faults.choose = lambda _method, _path: Fault.BUSY_BEFORE
    with pytest.raises(InfrastructureError, match=r"Cannot read a in s3://.*503 SlowDown.*Next: try again"):
        store.get("a")
    assert len(trouble.pauses) == 5
    assert 5 * trouble.pauses[0] < trouble.pauses[-1]
    assert 3 < sum(trouble.pauses) < 12
    with pytest.raises(InfrastructureError, match="Cannot tell whether it could write a"):
        store.put_if_absent("a", b"1")


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (Fault.FORBIDDEN, UsageError, "403 AccessDenied.*Next: allow s3:GetObject"),
        (Fault.SKEWED, InfrastructureError, "RequestTimeTooSkewed.*Next: set this machine's clock right"),
        (Fault.EXPIRED, UsageError, "ExpiredToken.*Next: check the credentials"),
        (Fault.NO_BUCKET, UsageError, "NoSuchBucket.*Next: create the bucket"),
        (Fault.NOT_S3, InfrastructureError, "404.*Next: check the address, and AWS_ENDPOINT_URL_S3"),
        (Fault.UNABLE, InfrastructureError, "NotImplemented.*Next: use a service that does If-None-Match"),
    ],
)
def test_what_the_service_refuses_is_explained(
    trouble: Trouble, fault: Fault, kind: type[HeadgateError], says: str
) -> None:
    """In the middle of a run, at once, and never taken for an empty store; some of it is a mistake."""
    store, _ = trouble.stores()
    trouble.faults.choose = lambda _method, _path: fault
    for operation in (
        lambda: store.get("a"),
        lambda: store.put_if_absent("a", b"1"),
        lambda: store.compare_and_swap("a", b"1", b"2"),
        lambda: list(store.list("a")),
        lambda: store.delete("a"),
    ):
        with pytest.raises(kind, match=says):
            operation()
    assert trouble.pauses == []


def test_a_service_that_ignores_conditions_is_refused_before_anything_is_written(trouble: Trouble) -> None:
    """It would let two writers overwrite each other, and say nothing."""

    def strip(request: Any, **_: Any) -> None:
        for header in ignored:
            del request.headers[header]

    client = trouble.server.client()
    client.meta.events.register("before-sign.s3.PutObject", strip)
    for ignored in (["If-None-Match", "If-Match"], ["If-Match"]):  # noqa: B007 - strip reads it
        store = S3Store(client, BUCKET, f"store-{next(_NUMBERS)}")
        with pytest.raises(InfrastructureError, match=r"cannot hold a registry.*ignores their conditions"):
            store.put_if_absent("a", b"1")
        assert store.get("a") is None


def test_a_bucket_that_is_not_there_is_the_users_mistake(trouble: Trouble) -> None:
    """The service answers; the name is wrong."""
    with pytest.raises(UsageError, match=r"NoSuchBucket.*Next: create the bucket"):
        S3Store(trouble.server.client(), "no-such-bucket").get("a")


def test_a_service_that_is_not_there_is_said_after_some_tries(trouble: Trouble) -> None:
    """It may be restarting: that takes seconds."""
    store = S3Store(trouble.server.client("http://127.0.0.1:9"), BUCKET, sleep=trouble.pauses.append)
    trouble.pauses.clear()
    with pytest.raises(InfrastructureError, match=r"Cannot read a.*127\.0\.0\.1:9.*Next: try again"):
        store.get("a")
    assert len(trouble.pauses) == 5


def test_no_credentials_are_the_users_mistake(
    trouble: Trouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Said with where boto3 looks for them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    store = S3Store(s3_client(trouble.server.endpoint, region_name="us-east-1"), BUCKET)
    with pytest.raises(UsageError, match=r"credentials.*Next: check the credentials that boto3 finds"):
        store.get("a")


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("AWS_ENDPOINT_URL_S3", "localhost:9000", "Invalid endpoint.*http://HOST:PORT"),
        ("AWS_PROFILE", "tsaging", "tsaging.*Next: correct AWS_PROFILE"),
        ("AWS_DEFAULT_REGION", "eu west 1", "eu west 1.*Next: correct AWS_PROFILE, AWS_DEFAULT_REGION"),
    ],
)
def test_settings_that_boto3_cannot_use_are_the_users_mistake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str, value: str, says: str
) -> None:
    """Before anything is asked of a service."""
    for name in ("AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(setting, value)
    monkeypatch.setenv("HEADGATE_STORE", "s3://models/team")
    with pytest.raises(UsageError, match=f"settings for S3 cannot be used.*{says}"):
        open_store(os.environ, Home(tmp_path))


@pytest.mark.parametrize("name", ["versitygw", "minio"])
def test_real_services_check_keys_and_clocks(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their own answers are understood, not only ours."""
    with s3_server(name, tmp_path / "data") as server:
        for client in (server.client(secret="wrong-secret"), server.client(key="nobody")):
            with pytest.raises(UsageError, match="Next: check the credentials"):
                S3Store(client, BUCKET).get("a")
        monkeypatch.setattr(
            "botocore.auth.get_current_datetime",
            lambda **_: datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=1),
        )
        with pytest.raises(InfrastructureError, match="Next: set this machine's clock right"):
            server.store().get("a")
