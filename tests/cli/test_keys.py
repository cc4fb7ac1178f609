"""``headgate keys``: what a person types, from the first key to the last."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from registry.home import Home
from registry.signing import KeySigner

Run = Callable[..., tuple[int, Any]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty home, and no key in the environment."""
    monkeypatch.setenv("HEADGATE_HOME", str(tmp_path / "home"))
    for name in ("HEADGATE_SIGNING_KEY", "HEADGATE_KEY_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)
    return Home(tmp_path / "home")


@pytest.fixture
def keys(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``headgate keys ... --json``; its exit code and answer."""

    def run(*arguments: str | Path) -> tuple[int, Any]:
        capsys.readouterr()
        code = main(["keys", *map(str, arguments), "--json"])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return code, json.loads(told.out)

    return run


def _without_ok(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ok"}


def _public(tmp_path: Path) -> tuple[Path, str]:
    pem = KeySigner.generate().public_pem
    (tmp_path / "colleague.pub").write_text(pem)
    return tmp_path / "colleague.pub", pem


def test_a_key_is_made_listed_exported_and_rotated(keys: Run, home: Home) -> None:
    """Every step answers with the key it is about."""
    assert keys("list") == (0, {"keys": [], "signs_here": None, "ok": True})
    code, made = keys("init", "--name", "builder")
    assert (code, made["name"], made["kinds"]) == (0, "builder", None)
    assert keys("export")[1]["public"] == made["public"]
    code, new = keys("rotate")
    assert (code, new["name"], new["kinds"]) == (0, "builder", None)
    listed = keys("list")[1]["keys"]
    assert [(key["name"], key["key_id"], key["signs_here"]) for key in listed] == [
        ("builder", made["key_id"], False),
        ("builder", new["key_id"], True),
    ]
    for named in ([], ["builder"], [new["key_id"][:12]]):
        assert keys("export", *named)[1]["key_id"] == new["key_id"]
    assert keys("export", made["key_id"][:12])[1]["key_id"] == made["key_id"]
    assert keys("init")[0] == 2


def test_a_colleague_is_trusted_to_approve(keys: Run, tmp_path: Path) -> None:
    """For approvals alone, until that ends."""
    file, pem = _public(tmp_path)
    code, key = keys("trust", file, "--name", "alice", "--for", "approval", "--for", "scan")
    assert (code, key["kinds"], key["public"]) == (0, ["approval", "scan"], pem)
    assert keys("distrust", "alice")[1]["keys"] == [{**_without_ok(key), "signs_here": False}]
    assert keys("list")[1]["keys"] == []


def test_a_colleague_who_rotated_is_followed(keys: Run, tmp_path: Path) -> None:
    """Only when that is said; the new key may approve as the old one did, and is the one exported."""
    file, _ = _public(tmp_path)
    keys("init", "--name", "builder")
    first = keys("trust", file, "--name", "alice", "--for", "approval")[1]
    file, pem = _public(tmp_path)
    code, answer = keys("trust", file, "--name", "alice")
    assert (code, "--another" in answer["error"]["next"]) == (2, True)
    code, answer = keys("trust", file, "--name", "alise", "--another")
    assert (code, answer["error"]["why"]) == (2, "did you mean 'alice'?")
    code, second = keys("trust", file, "--name", "alice", "--another")
    assert (code, second["name"], second["kinds"], second["public"]) == (0, "alice", ["approval"], pem)
    assert keys("export", "alice")[1]["key_id"] == second["key_id"]
    assert [key["key_id"] for key in keys("distrust", first["key_id"][:12])[1]["keys"]] == [first["key_id"]]
    assert [key["name"] for key in keys("list")[1]["keys"]] == ["builder", "alice"]


def test_keys_are_listed_by_who_holds_them(keys: Run, tmp_path: Path) -> None:
    """Whatever the order in which they were trusted."""
    keys("init", "--name", "builder")
    keys("trust", _public(tmp_path)[0], "--name", "alice")
    keys("rotate")
    assert [key["name"] for key in keys("list")[1]["keys"]] == ["builder", "builder", "alice"]


def test_a_lost_key_is_told_and_replaced_on_request(keys: Run, home: Home) -> None:
    """The listing still works, and the next key has the same name."""
    made = keys("init", "--name", "builder")[1]
    (home.keys / "signing.pem").unlink()
    for command in ("export", "init"):
        code, answer = keys(command)
        assert (code, "is gone" in answer["error"]["what"]) == (2, True)
        assert "backup" in answer["error"]["next"]
    assert keys("list")[1]["signs_here"] is None
    assert keys("list")[1]["keys"][0]["key_id"] == made["key_id"]
    assert keys("rotate")[1]["name"] == "builder"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["trust", "absent.pub", "--name", "a"], "No such file"),
        (["trust", "KEY", "--name", "Alice"], "not a name"),
        (["trust", "KEY", "--name", "a", "--for", "aproval"], "did you mean 'approval'?"),
        (["distrust", "nobody"], "known: none"),
        (["export"], "no signing key here yet"),
        (["export", "nobody"], "known: none"),
        (["rotate"], "no signing key in"),
        (["init", "--from", "hv:key"], "awskms:"),
        (["init", "--name", "A B"], "not a name"),
    ],
)
def test_a_mistake_is_a_usage_error_that_changes_nothing(
    keys: Run, tmp_path: Path, arguments: list[str], told: str
) -> None:
    """Exit code 2, and the reason."""
    file, _ = _public(tmp_path)
    code, answer = keys(*(str(file) if word == "KEY" else word for word in arguments))
    error = answer["error"]
    assert (code, answer["ok"]) == (2, False)
    assert told in " ".join(error.values())
    assert keys("list")[1] == {"keys": [], "signs_here": None, "ok": True}


def test_a_private_key_is_not_taken_for_a_public_one(keys: Run, tmp_path: Path) -> None:
    """Who sends it should hear that it is out."""
    (tmp_path / "k.pem").write_bytes(KeySigner.generate().to_pem())
    code, answer = keys("trust", tmp_path / "k.pem", "--name", "alice")
    assert (code, "only its owner" in answer["error"]["why"]) == (2, True)


def test_a_listing_needs_no_passphrase(keys: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It only cannot say which key signs."""
    monkeypatch.setenv("HEADGATE_KEY_PASSPHRASE", "secret")
    keys("init", "--name", "builder")
    monkeypatch.delenv("HEADGATE_KEY_PASSPHRASE")
    code, listed = keys("list")
    assert (code, listed["keys"][0]["name"], listed["signs_here"]) == (0, "builder", None)


def test_the_public_key_alone_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """So that it can go straight into a file."""
    main(["keys", "init", "--name", "builder"])
    capsys.readouterr()
    assert main(["keys", "export"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("-----BEGIN PUBLIC KEY-----\n")
    assert told.endswith("-----END PUBLIC KEY-----\n")


def test_a_person_hears_what_it_means(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """When the key that signs is not trusted, or another one signs instead."""
    main(["keys", "init", "--name", "builder"])
    assert main(["keys", "rotate"]) == 0
    assert "signed still counts" in capsys.readouterr().err
    assert main(["keys", "export", "builder"]) == 0
    told = capsys.readouterr()
    assert (told.out.count("BEGIN"), "takes an id as well" in told.err) == (1, True)
    assert main(["keys", "distrust", "builder"]) == 0
    told = capsys.readouterr()
    assert "2 keys of builder" in told.err
    assert "is the key that signs here: run `headgate keys rotate`" in told.err
    main(["keys", "list"])
    assert "is not trusted" in capsys.readouterr().err
    (tmp_path / "ci.pem").write_bytes(KeySigner.generate().to_pem())
    (tmp_path / "ci.pem").chmod(0o600)
    monkeypatch.setenv("HEADGATE_SIGNING_KEY", str(tmp_path / "ci.pem"))
    main(["keys", "rotate"])
    assert "signs instead" in capsys.readouterr().err
    assert main(["keys", "export"]) == 0
