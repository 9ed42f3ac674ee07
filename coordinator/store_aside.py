"""The store of a crawl's earlier run, if the job or the crawl's folder names a database: it is found, and moved aside.

A crawl in a database is moved aside by giving it another name there, that which its folder gets.
"""

from __future__ import annotations

from pathlib import Path

from crawlfleet.coordinator.frontier.kept_address import keep_address
from crawlfleet.coordinator.frontier.registry import USUAL, StorePlace, stored_in
from crawlfleet.shared.errors import UsageError


def stored_for(folder: Path, wanted: StorePlace) -> StorePlace | None:
    """Return where the earlier run is stored: in its folder, or where its job wants it, or where its folder says.

    None if it is not there. Raises `UsageError` if that cannot be known.
    """
    own = stored_in(folder)
    if own is not None and own.at is None:
        return own
    for place in (wanted if wanted.at is not None else None, own):
        if place is not None and place.is_stored():
            return place
    return None


def refuse_other_store(stored: StorePlace, wanted: StorePlace, name: str | None, *, is_moved: bool) -> None:
    """Raise `UsageError` if a crawl is stored elsewhere than its job wants, and is not moved aside; or if where the job
    wants it there is a crawl with another name."""
    if stored.at == wanted.at:
        if stored.at is not None and name not in (None, stored.at.crawl):
            raise UsageError(
                f"{stored.at.database} has the crawl {name!r} in the schema {stored.at.schema}, where the crawl "
                f"{stored.at.crawl!r} would be, too: give this one another name"
            )
        return
    if is_moved:
        return
    if stored.at is not None and wanted.at is not None and stored.at.database == wanted.at.database:
        raise UsageError(
            f"the earlier run was being moved aside when that was interrupted, and is stored in {stored} now: "
            "start again by --fresh"
        )
    where = stored.at.database if stored.at is not None else USUAL
    raise UsageError(
        f"the crawl is stored in {stored}: go on with it there by --frontier '{where}', "
        "or move it aside and start again by --fresh"
    )


class StoreAside:
    """Moves aside what is stored of an earlier run in databases: where it is, and where the next one is to be.

    `told` are the addresses that it has then.
    """

    def __init__(self, stored: StorePlace | None, wanted: StorePlace) -> None:
        self._stored = stored
        self._wanted = wanted
        self.told: tuple[str, ...] = ()

    def rename(self, folder: Path | None, name: str) -> None:
        """Give it a new name, and keep that in its folder. Raises `UsageError` if a coordinator has it open."""
        stored, wanted = self._stored, self._wanted
        if stored is not None and stored.at is not None:
            self._rename(stored, folder, name)
        if wanted.at is not None and (stored is None or stored.at != wanted.at) and wanted.is_stored():
            self._rename(wanted, None, name)

    def _rename(self, place: StorePlace, folder: Path | None, name: str) -> None:
        """Keep the new name first: a crawl that still has the old one is found by its job."""
        assert place.at is not None
        if folder is not None:
            keep_address(folder, place.at._replace(crawl=name))
        try:
            after = place.renamed(name)
        except BaseException:
            if folder is not None:
                keep_address(folder, place.at)
            raise
        self.told = (*self.told, str(after))
