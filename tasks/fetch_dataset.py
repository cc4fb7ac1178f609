"""A dataset of a hub at one commit: the files of one configuration, each verified, in the blobs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from eval_suites.dataset_card import CARD, card_of_one, files_of, head_of
from registry.atomic import write_file
from registry.licence import licence_of
from registry.manifest import Manifest, ManifestEntry
from tasks.hub_source import HubSource
from tasks.hub_token import hub_token
from tasks.progress import progress_of
from tasks.transfer import Transfer
from tasks.workplace import Workplace


@dataclass(frozen=True)
class Configuration:
    """One of a dataset's configurations, as its card names them; None is the default one."""

    name: str | None


@dataclass(frozen=True)
class Dataset:
    """A dataset's files, and the licence that its card names."""

    manifest: Manifest
    licence: str | None


def fetch_dataset(
    place: Workplace, name: str, commit: str, config: Configuration | None, token_secret: str | None
) -> Dataset:
    """The files of one configuration, and a card that names it alone; with None, all data files there are.

    Costs nothing the second time. Raises UsageError for what the hub has not, Refused for files that are
    not what it lists, and InfrastructureError.
    """
    inputs = {"dataset": name, "commit": commit, "config": config and [config.name]}
    kept = place.staged("dataset", inputs, lambda: _fetch(place, name, commit, config, token_secret))
    return Dataset(Manifest.from_json(kept["manifest"]), kept["licence"])


def _fetch(
    place: Workplace, name: str, commit: str, config: Configuration | None, token_secret: str | None
) -> dict[str, object]:
    pull = _Pull(place, name, commit, token_secret)
    card = pull.text(CARD)
    head, where = (head_of(card) if config else {}), f"{name}@{commit[:12]}"
    wanted = config.name if config else None
    entries = pull.take(files_of(head, wanted, pull.files, where))
    if own := card_of_one(head, wanted, where):
        write_file(pull.folder / "card" / CARD, own.encode())
        digest = place.blobs.add_file(pull.folder / "card" / CARD)
        entries[CARD] = ManifestEntry(digest, len(own.encode()))
    return {"manifest": Manifest(entries).to_json(), "licence": licence_of(card, {})}


class _Pull:
    """One commit of a dataset, and the folder in which its files arrive."""

    def __init__(self, place: Workplace, name: str, commit: str, token_secret: str | None) -> None:
        token = hub_token(os.environ, token_secret)
        self._blobs, self._progress = place.blobs, progress_of("suite")
        self._source = HubSource(f"hf://datasets/{name}", endpoint=os.environ.get("HF_ENDPOINT"), token=token)
        self._listing = self._source.resolve(commit, self._progress)
        self.files = {file.path: file for file in self._listing.files}
        self.folder: Path = place.run.directory / "datasets" / name / commit

    def take(self, paths: Iterable[str]) -> dict[str, ManifestEntry]:
        files = [self.files[path] for path in paths]
        size = sum(file.size for file in files)
        with Transfer(
            self._source, self._listing, self.folder, self._blobs, size, self._progress, at_once=True
        ) as transfer:
            return transfer.take(files)

    def text(self, path: str) -> str:
        """A small file's text; nothing where there is no such file."""
        if path not in self.files:
            return ""
        entry = self.take([path])[path]
        return self._blobs.path(entry.digest).read_text(encoding="utf-8", errors="replace")
