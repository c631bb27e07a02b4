"""`remote check`: every object that the project needs, read back from its remote."""

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

from ..core.errors import ObjectsError, RemoteError
from .objects import State
from .remote import Need, Store, mend, needs, open_project, with_listed

if TYPE_CHECKING:
    from dvc.repo import Repo

log = logging.getLogger(__name__)

WORDS = {
    State.MISSING: "missing",
    State.DAMAGED: "damaged",
    State.REFUSED: "missing or not readable",
}


def run(targets: list[str], *, remote: str | None, all_commits: bool, repair: bool) -> None:
    """Says what was found; `ObjectsError` names each object that is missing or damaged.

    With `repair` these are replaced from the local cache first, and only what could not be mended
    is an error.
    """
    with open_project() as repo:
        store = Store(repo, remote)
        if not store.verifies:
            log.warning(
                "warning: remote %s has no `verify = true`, so `dvc pull` takes damaged objects "
                "as they are. Run `dvc remote modify %s verify true`.",
                store.name,
                store.name,
            )
        found = needs(
            repo,
            store.name,
            targets,
            all_commits=all_commits,
            warn=lambda text: log.warning("warning: %s", text),
        )
        if not found:
            raise RemoteError(
                "nothing to check: no output that DVC keeps was made. Run `dvc repro`."
            )
        wanted = with_listed(found, repo, store)
        states = _inspect(wanted, store)
        bad = {oid: WORDS[state] for oid, state in states.items() if state is not State.SOUND}
        if repair:
            bad = _mend(bad, wanted, repo, store)
        bad |= {oid: "no list of files" for oid, need in wanted.items() if need.malformed}
    if bad:
        raise ObjectsError(_verdict(bad, wanted, store.url, repaired=repair))


def _inspect(wanted: dict[str, Need], store: Store) -> dict[str, State]:
    from tqdm import tqdm

    log.info("checking %d objects in %s", len(wanted), store.url)
    started, read = time.monotonic(), list[int]()
    total = sum(need.size or 0 for need in wanted.values()) or None
    with tqdm(total=total, unit="B", unit_scale=True, leave=False, disable=None) as bar:

        def seen(size: int) -> None:
            read.append(size)
            bar.update(size)

        states = store.inspect(wanted, seen)
    counts = Counter(states.values())
    said = [f"{counts[state]} {word}" for state, word in WORDS.items() if counts[state]]
    log.info(
        "%s; %.1f MB read in %.1f s",
        ", ".join([f"{counts[State.SOUND]} sound", *said]),
        sum(read) / 1e6,
        time.monotonic() - started,
    )
    return states


def _mend(
    bad: dict[str, str], wanted: dict[str, Need], repo: "Repo", store: Store
) -> dict[str, str]:
    left = {}
    for oid, word in bad.items():
        obstacle = mend(oid, repo, store)
        if obstacle:
            left[oid] = f"{word} {obstacle}"
        else:
            log.info("mended %s", wanted[oid].label)
    return left


def _verdict(bad: dict[str, str], wanted: dict[str, Need], url: str, *, repaired: bool) -> str:
    lines = [f"  {word}: {wanted[oid].label} [{oid}]" for oid, word in bad.items()]
    advice = (
        "Find a clone whose cache holds them, or make them anew with `dvc repro -f`, "
        "and run this there."
        if repaired
        else "Where the local cache is whole (the machine that made them, or after `dvc repro`), "
        "run `oncopixel remote check --repair`."
    )
    count = "1 object" if len(bad) == 1 else f"{len(bad)} objects"
    return "\n".join([f"{count} in {url} cannot be relied on:", *sorted(lines), advice])
