"""The commands for a project as a whole, as the command line offers them.

Everything heavy is imported inside the command that needs it.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..core.errors import printable

INTERRUPTED = 130

ParamsFile = Annotated[Path, typer.Option("--params", help="The parameter file.")]
Root = Annotated[
    Path, typer.Option(help="The project's root: data/, models/ and reports/ are below it.")
]


def init(
    name: Annotated[str, typer.Argument(help="What the cohort is to be called.")],
    expression: Annotated[
        Path, typer.Option(help="Expression matrix: TSV, CSV, Parquet, GCT, gzipped or not.")
    ],
    samples: Annotated[
        Path | None, typer.Option(help="Sample sheet; without it, barcodes and mutations tell.")
    ] = None,
    copy_number: Annotated[
        Path | None, typer.Option(help="Copy-number matrix, or segments.")
    ] = None,
    mutation: Annotated[Path | None, typer.Option(help="Mutation matrix, or a list (MAF).")] = None,
    label: Annotated[
        str | None, typer.Option(help="column:NAME, sample_type or mutation:GENE.")
    ] = None,
    positive: Annotated[str | None, typer.Option(help="The class to detect, of two.")] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="Keep these classes only. Repeat it.")
    ] = None,
    sample_types: Annotated[
        list[str] | None,
        typer.Option("--sample-type", help="Keep these types only, such as 01. Repeat it."),
    ] = None,
    scale: Annotated[
        Literal["counts", "rsem", "tpm", "fpkm", "log2"] | None,
        typer.Option(help="Scale of the expression."),
    ] = None,
    orientation: Annotated[
        Literal["genes_by_samples", "samples_by_genes"] | None,
        typer.Option(help="What rows and columns are."),
    ] = None,
    patient_column: Annotated[str | None, typer.Option(help="Column of the patients.")] = None,
    one_per_sample: Annotated[
        bool, typer.Option("--one-per-sample", help="No two samples are of one person.")
    ] = False,
    sample_type_column: Annotated[
        str | None, typer.Option(help="Column of tumour and normal.")
    ] = None,
    build: Annotated[
        Literal["hg19", "hg38"] | None, typer.Option(help="Genome of the segments.")
    ] = None,
    cancer: Annotated[
        str | None, typer.Option(help="Its code, such as LUAD, for known drivers.")
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="Hard links, no copies.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the entry; write nothing.")
    ] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not run plan, ingest and validate.")
    ] = False,
    params: ParamsFile = Path("params.yaml"),
    root: Root = Path(),
) -> None:
    """Make a cohort of your files: look at them, add the entry to params.yaml, check the data."""
    given = dict(locals())
    from . import init as command
    from .cohort_files import Given

    files = Given(**{key: given[key] for key in Given.__dataclass_fields__})
    entry = command.run(
        name, files, _ask, params=params, root=root, link=link, dry_run=dry_run, check=not no_check
    )
    typer.echo(printable(entry, keep="\n"), nl=False)
    if not dry_run:
        typer.echo(f"next: dvc repro report@{name}")


def _ask(question: str, answers: Mapping[str, str]) -> str | None:
    """An answer by its number; None where no terminal is there to give one."""
    if not sys.stdin.isatty():
        return None
    typer.echo(question, err=True)
    names = list(answers)
    for number, name in enumerate(names, 1):
        typer.echo(f"  {number}  {printable(name)}: {printable(answers[name])}", err=True)
    number = 0
    while not 1 <= number <= len(names):
        try:
            number = typer.prompt("Number", type=int, err=True)
        except typer.Abort:
            raise typer.Exit(INTERRUPTED) from None
    return names[number - 1]


def doctor(
    remote: Annotated[
        bool, typer.Option("--remote", help="Ask the default remote whether it can be reached.")
    ] = False,
    params: ParamsFile = Path("params.yaml"),
    root: Root = Path(),
) -> None:
    """Look at everything a run needs, from Python to the clock; exit status 2 at a problem."""
    from . import doctor as command

    command.run(params, root, lambda line: typer.echo(printable(line)), remote=remote)


def list_cohorts(
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not ask DVC which results are stale.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            help="Also write a page of cohorts and experiments, such as reports/index.html.",
        ),
    ] = None,
    params: ParamsFile = Path("params.yaml"),
    root: Root = Path(),
) -> None:
    """List the cohorts with their verdicts and scores, and whether their results are stale."""
    from . import cohort_list

    typer.echo(printable(cohort_list.run(params, root, status=not quick, html=html), keep="\n"))


def new(
    folder: Annotated[Path, typer.Argument(help="A new folder.", metavar="DIR")],
) -> None:
    """Make a project of your own: the pipeline, parameters with a simulated cohort, image, CI."""
    from . import new_project

    for name in new_project.run(folder):
        typer.echo(printable(str(folder / name)))
    typer.echo(printable(f"next: cd {folder} && git init && oncopixel doctor && dvc repro"))


COMMANDS: dict[str, Callable[..., Any]] = {
    "new": new, "init": init, "list": list_cohorts, "doctor": doctor,
}  # fmt: skip
