"""Tasks on the workers of a Dask cluster, each fit to give the numbers that this process would."""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import joblib

from .errors import OncopixelError, RemoteError, one_line

SCHEDULER = "ONCOPIXEL_SCHEDULER"
"""The environment variable with the address of a Dask scheduler."""
WAIT_SECONDS = 60
"""For the scheduler, and for a worker."""
SAME = ("joblib", "keras", "numpy", "scikit-learn", "scipy")
"""Packages of which workers need the same versions: others may give other numbers."""


@contextlib.contextmanager
def on_cluster(
    work: Callable[..., Any], address: str
) -> Iterator[Callable[[Sequence[tuple[Any, ...]]], Iterator[Any]]]:
    """`work` on the workers of a Dask scheduler, in this process's working folder.

    Yields
    ------
    See `executor.parallel`. What ran on a worker that is lost runs again on another.

    Raises
    ------
    RemoteError
        There is no scheduler, no worker, or one that is not fit; or all workers were lost.
    """
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError:
        raise RemoteError(
            f"{SCHEDULER} is set, but Dask is not installed. Run `pip install 'oncopixel[dask]'`, "
            "or unset the variable."
        ) from None
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # errors are said below
    make: Any = Client  # untyped
    completed: Any = as_completed
    try:
        asyncio.run(_knock(address))
        client = make(address, timeout=WAIT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise RemoteError(
            f"no Dask scheduler answers at {SCHEDULER}={address} ({one_line(error)}). Start "
            "`dask scheduler`, and give the address that it prints, or unset the variable."
        ) from None
    with client:
        run = partial(_run, _code(), Path.cwd())
        _check(client, run)

        def results(tasks: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
            found: dict[int, Any] = {}
            given = 0
            while given < len(tasks):
                data = client.scatter(work, broadcast=True)
                missing = [i for i in range(given, len(tasks)) if i not in found]
                futures = {client.submit(run, data, *tasks[i], pure=False): i for i in missing}
                try:
                    for future in completed(list(futures), client.loop):
                        found[futures[future]] = future.result()  # at once: its worker may be lost
                        while given in found:
                            yield found.pop(given)
                            given += 1
                except CancelledError:  # the data were lost with the only worker that had them
                    if client.status != "running" or not client.nthreads():
                        raise

        try:
            yield results
        except KilledWorker as error:
            raise RemoteError(
                f"a task ended one Dask worker after another ({one_line(error)}). Their logs say "
                "why; mostly they need more memory (`--memory-limit`)."
            ) from None
        except (CancelledError, TimeoutError) as error:
            raise RemoteError(
                f"the Dask cluster at {address} lost its scheduler, or all workers at a time "
                f"({one_line(error)}). Start them, and run again."
            ) from None


async def _knock(address: str) -> None:
    """Fails where no scheduler answers; a `Client` would leave its event loop and sockets open."""
    from distributed import Security
    from distributed.comm.core import connect

    security, knock = cast(Any, Security), cast(Any, connect)  # untyped
    options = security().get_connection_args("client")
    await (await knock(address, timeout=WAIT_SECONDS, **options)).close()


def _check(client: Any, run: Callable[..., Any]) -> None:
    """`RemoteError` when no worker comes, or the one that does is not fit."""
    address = client.scheduler.address
    try:
        client.submit(run, int, pure=False).result(WAIT_SECONDS)
    except OncopixelError:
        raise
    except TimeoutError:
        raise RemoteError(
            f"the Dask scheduler at {address} has no worker that is free. Start some: "
            f"`dask worker {address} --nthreads 1`."
        ) from None
    except Exception as error:  # whatever comes of a worker that cannot load this package
        raise RemoteError(
            f"the Dask workers at {address} cannot run oncopixel ({type(error).__name__}: "
            f"{one_line(error)}). Start them in this environment, with this code."
        ) from None


def _run(code: str, folder: Path, work: Callable[..., Any], *task: Any) -> Any:
    """What `work` returns on this worker; `RemoteError` when it is not fit."""
    from distributed import get_worker

    if get_worker().state.nthreads != 1:
        raise RemoteError(
            "a Dask worker runs several tasks in one process, where TensorFlow does not give the "
            "same numbers twice. Start workers with `--nthreads 1`."
        )
    if _code() != code:
        raise RemoteError(
            "a Dask worker has other code of oncopixel, or another version of "
            f"{', '.join(SAME)}. Start the workers again, in this environment, with this code."
        )
    if not folder.is_dir():
        raise RemoteError(
            f"a Dask worker has no folder {folder}. Run on a file system that all machines share."
        )
    with contextlib.chdir(folder), joblib.parallel_config("sequential"):
        return work(*task)


@cache
def _code() -> str:
    """A digest of this package's code, as it is when first asked for, and of `SAME`."""
    digest = hashlib.sha256(repr([(name, version(name)) for name in SAME]).encode())
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
