"""Which store an address means, and what is said about one that means none."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.dir_store import DirStore
from registry.errors import UsageError
from registry.home import Home
from registry.open_store import open_store
from registry.store import Store

_ACCESS = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9", "HEADGATE_STORE": "s3://models/team/registry"}


def _opened(address: str, home: Path) -> Store:
    return open_store({"HEADGATE_STORE": address}, Home(home))


def test_without_an_address_it_is_the_homes_own_folder(tmp_path: Path) -> None:
    """Also when the variable is set to nothing, as in a compose file."""
    for env in ({}, {"HEADGATE_STORE": ""}):
        open_store(env, Home(tmp_path)).put_if_absent("a", b"1")
        assert DirStore(tmp_path / "store").get("a") == b"1"


def test_a_path_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute, from the user's home, or from here: the same folder wherever it is used from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    stores = [_opened(address, tmp_path) for address in (f"{tmp_path}/shared", "~/shared", "shared")]
    monkeypatch.chdir("/")
    stores[0].put_if_absent("a", b"1")
    assert [store.get("a") for store in stores] == [b"1"] * 3


def test_an_s3_address_is_a_bucket_and_a_prefix(tmp_path: Path) -> None:
    """Nothing is asked of the service before the first operation."""
    assert repr(open_store(_ACCESS, Home(tmp_path))) == "s3://models/team/registry"
    assert repr(open_store(_ACCESS, Home(tmp_path), "s3://other/")) == "s3://other"


def test_an_explicit_address_goes_before_the_variable(tmp_path: Path) -> None:
    """``store copy`` names both of its stores."""
    store = open_store(_ACCESS, Home(tmp_path), str(tmp_path / "backup"))
    assert isinstance(store, DirStore)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("S3://models/x", "did you mean s3://models/x"),
        ("s3:models/x", "did you mean s3://models/x"),
        ("s3a://models", "did you mean s3://models"),
        ("file:///srv/store", "did you mean /srv/store?"),
        ("gs://models", "did you mean s3://models?"),
        (
            "https://s3.example/models",
            "did you mean s3://models with AWS_ENDPOINT_URL_S3=https://s3.example?",
        ),
        ("s3://", "'' is no bucket's name"),
        ("s3://Models", "'Models' is no bucket's name"),
        ("s3://models/Team", "'Team' is no prefix"),
        ("s3://models/" + "a" * 101, "is no prefix"),
        ("s3://models/../x", "is no prefix"),
    ],
)
def test_what_names_no_store_is_explained(tmp_path: Path, address: str, why: str) -> None:
    """A typo is not a new, empty registry."""
    with pytest.raises(UsageError, match="names no store") as caught:
        _opened(address, tmp_path)
    assert why in str(caught.value)
    assert "Next: a store is a folder, or s3://BUCKET/PREFIX" in str(caught.value)
