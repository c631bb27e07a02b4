"""The command line: arguments in, one command module called, errors as people need them.

Nothing is computed here, so `dvc.yaml` leaves this file out of the stages' dependencies on purpose;
everything heavy is imported inside the command that needs it.
"""

import errno
import logging
import signal
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .core.errors import OncopixelError, ParamsError, printable
from .tools import commands
from .tools.commands import INTERRUPTED, ParamsFile, Root

if TYPE_CHECKING:
    from .core.params import Params
    from .core.project import Paths

app = typer.Typer(
    help="Cancer biomarkers from gene images, reproducibly.",
    epilog="Each stage of dvc.yaml is one of these commands. `dvc repro` runs them in order.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

remote_app = typer.Typer(help="Look after remote storage.", no_args_is_help=True)
STAGES, USE, PROJECT = "Stages", "Use a model", "Project"
"""Panels of the help."""
app.add_typer(remote_app, name="remote", rich_help_panel=PROJECT)


def _cohorts(incomplete: str) -> list[str]:
    """The cohorts of params.yaml that begin so, for the shell's completion."""
    from .core.yaml_files import read_yaml

    try:
        names = list(read_yaml(Path("params.yaml"))["cohorts"])
    except (OncopixelError, KeyError, TypeError):
        return []
    return [name for name in names if str(name).startswith(incomplete)]


CohortName = Annotated[
    str,
    typer.Argument(help="A cohort of params.yaml, such as luad-keap1.", autocompletion=_cohorts),
]


class _Printable(logging.Formatter):
    """Notes and warnings in which names from files cannot command the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record), keep="\n\t")


def _version(wanted: bool) -> None:
    if wanted:
        from .core.project import version

        typer.echo(version())
        raise typer.Exit


@app.callback()
def options(
    quiet: Annotated[bool, typer.Option("--quiet", help="Warnings and errors only.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="A traceback with every error.")] = False,
    version: Annotated[  # noqa: ARG001 (handled by its callback)
        bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")
    ] = False,
) -> None:
    """Cancer biomarkers from gene images, reproducibly."""
    level = logging.WARNING if quiet else logging.DEBUG if debug else logging.INFO
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(message)s"))
    logger = logging.getLogger("oncopixel")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


def _stage(name: str, about: str) -> None:
    """Adds a stage without options of its own."""

    @app.command(name, help=about, rich_help_panel=STAGES)
    def command(
        cohort: CohortName, params: ParamsFile = Path("params.yaml"), root: Root = Path()
    ) -> None:
        """The stage, run with checked parameters."""
        _run(name, import_module(f"oncopixel.stages.{name}").run, cohort, params, root)


_stage(
    "plan", "Check a cohort's entry of params.yaml, and store the part of it that each stage reads."
)


@app.command(rich_help_panel=STAGES)
def ingest(
    cohort: CohortName,
    params: ParamsFile = Path("params.yaml"),
    root: Root = Path(),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be downloaded; write nothing.")
    ] = False,
    refresh: Annotated[
        bool,
        typer.Option("--refresh", help="Ask the server what it has now, despite manifest.csv."),
    ] = False,
) -> None:
    """Read a cohort from its source, downloading what it needs, and label its samples."""
    from .sources.manifest import describe_downloads
    from .stages import ingest

    def read(paths: "Paths", checked: "Params") -> None:
        if dry_run:
            listed = describe_downloads(paths, checked.cohort(paths.cohort), refresh=refresh)
            typer.echo(printable(listed, keep="\n"))
        else:
            ingest.run(paths, checked, refresh=refresh)

    _run("" if dry_run else "ingest", read, cohort, params, root)


for _name, _about in {
    "validate": "Check a cohort with Great Expectations; exit status 3 when a critical check "
    "fails.",
    "preprocess": "Divide the patients; fit the preprocessor on development ones; turn samples "
    "into images.",
    "baselines": "Tune and fit the linear and tree models on the same folds as the CNN.",
    "train": "Fit the CNN: one model per fold, and the final ensemble on all development patients.",
    "evaluate": "Score the CNN beside the baselines, with intervals; only this step scores the "
    "test set.",
    "stability": "Fit CNN and baselines anew on subsamples of the patients: which genes stay "
    "the first.",
    "biomarkers": "List the genes that carry the label, and what is known of them.",
    "external": "Test the model and its markers on the cohort's external cohort, if it names one.",
    "report": "Put all results of a cohort on one self-contained HTML page.",
}.items():
    _stage(_name, _about)


@app.command(rich_help_panel=USE)
def predict(
    model: Annotated[
        Path,
        typer.Argument(
            help="The model's folder, such as models/luad-keap1; its card.md says what it is for."
        ),
    ],
    expression: Annotated[
        Path,
        typer.Argument(
            help="Expression matrix: TSV, CSV or Parquet, gzipped or not. For a model without "
            "expression: copy-number segments."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Where the predictions go; - is standard output.")
    ] = Path("predictions.csv"),
    scale: Annotated[
        Literal["counts", "rsem", "tpm", "fpkm", "log2"] | None,
        typer.Option(
            help="Scale of the values, if not the training cohort's: counts, rsem, tpm, fpkm, log2."
        ),
    ] = None,
    orientation: Annotated[
        Literal["genes_by_samples", "samples_by_genes"],
        typer.Option(help="What rows and columns are."),
    ] = "genes_by_samples",
    copy_number: Annotated[
        Path | None, typer.Option(help="Copy-number matrix, laid out alike, or segments.")
    ] = None,
    mutation: Annotated[
        Path | None, typer.Option(help="Mutation matrix (0/1), laid out alike, or a list (MAF).")
    ] = None,
    build: Annotated[
        Literal["hg19", "hg38"] | None,
        typer.Option(help="Genome of the segments' positions, where their file does not tell it."),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option(help="Sample sheet with the columns that the model adjusts expression for."),
    ] = None,
    min_genes: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Refuse when fewer of the model's genes than this fraction are found.",
        ),
    ] = 0.8,
    panel: Annotated[
        bool, typer.Option("--panel", help="Give the small linear score of few genes, too.")
    ] = False,
    explain: Annotated[
        Path | None,
        typer.Option(help="Where to write what moved each sample's score, gene by gene."),
    ] = None,
) -> None:
    """Apply a trained model to new samples: probabilities with the ensemble's spread, as CSV."""
    from .core.disk import refuse_inputs
    from .tools import predict

    parts = model.iterdir() if model.is_dir() else ()
    inputs = [expression, copy_number, mutation, samples, *parts]
    refuse_inputs(out, [*inputs, explain])
    if explain:
        refuse_inputs(explain, inputs)
    predict.run(
        model,
        expression,
        out,
        scale=scale,
        orientation=orientation,
        copy_number=copy_number,
        mutation=mutation,
        build=build,
        samples=samples,
        min_genes=min_genes,
        panel=panel,
        explain=explain,
    )


for _name, _command in commands.COMMANDS.items():
    app.command(_name, rich_help_panel=PROJECT)(_command)


@app.command(rich_help_panel=PROJECT)
def noise(
    samples: Annotated[int, typer.Option(min=50, help="Number of samples.")] = 1000,
    side: Annotated[int, typer.Option(min=10, max=200, help="Side of an image, in pixels.")] = 100,
    model: Annotated[
        Literal["hybrid", "paper"] | None,
        typer.Option(
            help="The network, if not that of the parameter file; "
            "`paper` repeats the paper's experiment, without the pipeline."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = 1,
    folder: Annotated[
        Path | None, typer.Option(help="Keep the pipeline's files here. [default: nowhere]")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the result as JSON; - is standard output, then alone."),
    ] = None,
    params: ParamsFile = Path("params.yaml"),
) -> None:
    """Run the whole pipeline on random numbers with random labels: it must find nothing."""
    from .core.disk import STDOUT, refuse_inputs
    from .core.params import read_params
    from .tools import noise

    if out:
        refuse_inputs(out, [params])
    found = noise.run(
        read_params(params), samples=samples, side=side, model=model, seed=seed, folder=folder
    )
    if out:
        noise.write(out, found)
    if out != STDOUT:
        typer.echo(noise.describe(found))


@app.command(rich_help_panel=PROJECT)
def tune(
    cohort: CohortName,
    trials: Annotated[int, typer.Option(min=1, help="Trials in the study, those it has too.")] = 50,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Begin no trial after so many minutes.")
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            help="The study's file, gone on with if it exists; "
            "data/COHORT/tune/study.jsonl if not given."
        ),
    ] = None,
    params: ParamsFile = Path("params.yaml"),
    root: Root = Path(),
) -> None:
    """Search better values of `train` on the development patients, within `tune` of params.yaml."""
    from .tools import tune

    def search(paths: "Paths", checked: "Params") -> None:
        found = tune.run(paths, checked, trials=trials, minutes=timeout, study_file=study)
        typer.echo(tune.describe(cohort, found, tune.set_by(cohort, checked)))

    _run("", search, cohort, params, root)


@app.command(
    rich_help_panel=PROJECT,
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def prdiff(context: typer.Context) -> None:
    """Compare the results of two revisions, from their reports in git, as Markdown."""
    from .reporting.prdiff import main

    raise typer.Exit(main(context.args))


@remote_app.command()
def check(
    targets: Annotated[
        list[str] | None, typer.Argument(help="Files, folders, stages or cohorts. [default: all]")
    ] = None,
    remote: Annotated[
        str | None, typer.Option("--remote", "-r", help="The remote's name, if not the default's.")
    ] = None,
    all_commits: Annotated[
        bool, typer.Option("--all-commits", help="What every commit, branch and tag needs.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Replace what is wrong from the local cache.")
    ] = False,
) -> None:
    """Read back from a remote every object that the project needs; exit status 3 if any is bad."""
    from .tools import remote_check as command

    command.run(targets or [], remote=remote, all_commits=all_commits, repair=repair)


def _run(
    stage: str, command: Callable[["Paths", "Params"], None], cohort: str, params: Path, root: Path
) -> None:
    from .core.params import read_params
    from .core.project import Paths
    from .core.provenance import recorded

    checked, paths = read_params(params), Paths(root, cohort)
    own = checked.of(cohort)
    with recorded(stage, paths, params):
        if read_params(params) != checked:
            raise ParamsError(f"{params} was edited just now. Run again.")
        command(paths, own)


def main() -> None:
    """Run the command line: bad input ends in one message and its exit status."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # `nohup` has the latter ignored
            signal.signal(number, _end)
    try:
        app()
    except (OncopixelError, MemoryError) as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        message = "the memory is used up." if isinstance(error, MemoryError) else error
        typer.echo(f"error: {message}", err=True)
        sys.exit(getattr(error, "exit_code", OncopixelError.exit_code))
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        typer.echo(f"error: {str(error.filename)[:200]}… is too long a name or path.", err=True)
        sys.exit(OncopixelError.exit_code)
    except (KeyboardInterrupt, SystemExit) as ended:  # typer turns the former into the latter
        status = ended.code if isinstance(ended, SystemExit) else INTERRUPTED
        if status not in (INTERRUPTED, 128 + signal.SIGTERM, 128 + signal.SIGHUP):
            raise
        typer.echo("interrupted: nothing was left half-written; run again to go on.", err=True)
        sys.exit(status)


def _end(number: int, _: FrameType | None) -> None:
    """Ends as an interrupt does, so that what was begun is tidied away."""
    sys.exit(128 + number)
