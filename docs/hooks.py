"""What `make docs` adds to the pages of this folder: files from elsewhere, and the reference."""

import json
import re
import subprocess
import sys
from pathlib import Path
from posixpath import dirname, normpath, relpath

import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "src/oncopixel/data/README.md": "package-data.md",
    "data/bundled/tcga-luad/README.md": "tcga-luad.md",
}
"""Files outside `docs` that are pages of the site."""
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def commands() -> str:
    """Every command with its options, one heading each, as Markdown."""
    typer = _run("typer", "oncopixel.cli", "utils", "docs", "--name", "oncopixel")
    text = re.sub(r"^(#+ .*)$", r"#\1", typer, flags=re.MULTILINE)
    head, title, rest = text.partition("### `oncopixel prdiff`\n")
    about, _, rest = rest.partition("\n### ")
    usage = _run("oncopixel", "prdiff", "--help").replace("\n\n", "\n")
    return f"{head}{title}{about}\n```text\n{usage}```\n\n### {rest}"


def _run(*module: str) -> str:
    command = [sys.executable, "-m", *module]
    folder = ROOT / "src"
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def parameters() -> str:
    """A table for each section of params.yaml and each kind of source, as Markdown."""
    schema = json.loads((ROOT / "params.schema.json").read_text(encoding="utf-8"))
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    shipped, comments = yaml.safe_load(text), _comments(text)
    types = {name: _properties(schema, spec) for name, spec in schema["properties"].items()}
    parts = [_table("`cohorts`", "default", types.pop("cohorts"))]
    external = schema["$defs"]["ExternalParams"]["properties"]
    parts.append(_table("`external`", "default", external, level=3))
    source = schema["$defs"]["CohortParams"]["properties"]["source"]
    for kind, reference in source["discriminator"]["mapping"].items():
        options = {k: v for k, v in _properties(schema, {"$ref": reference}).items() if k != "kind"}
        parts.append(_table(f"`source`, `kind: {kind}`", "default", options, level=3))
    for name, options in types.items():
        rows = {
            key: option
            | {"default": shipped[name].get(key, option.get("default"))}
            | {"description": option.get("description", comments.get((name, key), ""))}
            for key, option in options.items()
        }
        parts.append(_table(f"`{name}`", "as shipped", rows, prefix=f"{name}."))
    return "\n".join(parts)


def _properties(schema: dict, spec: dict) -> dict:
    reference = (spec.get("additionalProperties") or spec)["$ref"].rpartition("/")[2]
    return schema["$defs"][reference]["properties"]


def _comments(text: str) -> dict[tuple[str, str], str]:
    """What stands after a value of params.yaml, by section and key."""
    found, section = {}, ""
    for line in text.splitlines():
        if top := re.match(r"(\w+):", line):
            section = top[1]
        elif value := re.match(r"  (\w+):[^#]*# (.*)", line):
            found[section, value[1]] = value[2]
    return found


def _table(title: str, default: str, options: dict, level: int = 2, prefix: str = "") -> str:
    if not options:
        return f"{'#' * level} {title}\n\nNo options.\n"
    rows = [
        [
            f"`{prefix}{name}`",
            spec.get("description", ""),
            _values(spec),
            _code(spec.get("default")),
        ]
        for name, spec in options.items()
    ]
    cells = [["", "", "values", default], ["---"] * 4, *rows]
    lines = (
        "| " + " | ".join(" ".join(c.split()).replace("|", "\\|") for c in r) + " |" for r in cells
    )
    return f"{'#' * level} {title}\n\n" + "\n".join(lines) + "\n"


def _code(value: object) -> str:
    if value is None or isinstance(value, dict):
        return ""
    return f"`{json.dumps(value) if not isinstance(value, str) else value}`"


def _values(spec: dict) -> str:
    """The values that a parameter takes, in words."""
    if "const" in spec or "enum" in spec:
        return " ".join(f"`{value}`" for value in spec.get("enum", [spec.get("const")]))
    if several := spec.get("anyOf", spec.get("oneOf")):
        if "discriminator" in spec:
            return "[a source](sources.md)"
        words = dict.fromkeys(_values(one) for one in several if one.get("type") != "null")
        return " or ".join(words)
    if "$ref" in spec:
        return "a mapping"
    if spec["type"] == "array":
        return f"list of {_values(spec['items'])}"
    words = {"string": "text", "boolean": "`true` `false`"}
    return words.get(spec["type"]) or f"{spec['type']}{_range(spec)}"


def _range(spec: dict) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [
        f"{sign} {spec[key]:g}" for key, sign in signs.items() if abs(spec.get(key, 1e9)) < 1000
    ]
    return " " + ", ".join(limits) if limits else ""


def rooms() -> dict[str, str]:
    """The API page of each folder of the package, with all of its modules."""
    package = ROOT / "src" / "oncopixel"
    pages = {}
    for folder in sorted(path.parent for path in package.glob("*/__init__.py")):
        modules = [
            ".".join(path.relative_to(package.parent).with_suffix("").parts)
            for path in sorted(folder.rglob("*.py"))
            if not path.name.startswith("_") and (path.parent / "__init__.py").is_file()
        ]
        blocks = "".join(f"\n## `{name.split('.', 2)[2]}`\n\n::: {name}\n" for name in modules)
        pages[folder.name] = f"# `{folder.name}`\n\n::: oncopixel.{folder.name}\n{blocks}"
    return pages


def notebook(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown with the outputs that it holds, and its pictures by name."""
    from nbconvert import MarkdownExporter

    text, resources = MarkdownExporter().from_filename(path)
    text = re.sub(r"<style scoped>.*?</style>\n", "", text, flags=re.DOTALL)
    return text.replace(' border="1" class="dataframe"', ""), resources["outputs"]


def on_config(config):
    """Adds the API pages to the navigation."""
    for section in config.nav:
        if "Reference" in section:
            section["Reference"].append({"API": [f"api/{name}.md" for name in rooms()]})
    return config


def on_files(files, *, config):
    """Adds the pages that lie outside of `docs`, or nowhere yet."""
    from mkdocs.structure.files import File

    def add(name: str, content: str | bytes) -> None:
        files.append(File.generated(config, name, content=content))

    for source, page in PAGES.items():
        add(page, (ROOT / source).read_text(encoding="utf-8"))
    for name, text in rooms().items():
        add(f"api/{name}.md", text)
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        text, pictures = notebook(path)
        add(f"notebooks/{path.stem}.md", text)
        for name, picture in pictures.items():
            add(f"notebooks/{name}", picture)
    reports = ROOT / "reports"
    examples = [*reports.glob("index.html"), *sorted(reports.glob("*/report.html"))]
    names = [str(path.relative_to(reports)) for path in examples]
    for name, path in zip(names, examples, strict=True):
        files.append(File.generated(config, f"examples/{name}", abs_src_path=str(path)))
    for path in (ROOT / "data").glob("*/data_docs.html"):  # to which the reports link
        place = str(path.relative_to(ROOT))
        files.append(File.generated(config, place, abs_src_path=str(path)))
    add("examples.md", _examples(names))
    for path in _linked():
        add(f"files/{path}", (ROOT / path).read_bytes())
    return files


def _examples(names: list[str]) -> str:
    titles = {"index.html": "all cohorts side by side"}
    links = "".join(
        f"- [{titles.get(name, name.partition('/')[0])}](examples/{name})\n" for name in names
    )
    none = "None was there when this site was built: `make repro`, then `make docs`.\n"
    about = "`make repro` writes them, as they are here."
    return f"# Example reports\n\n{about}\n\n{links or none}"


def _linked() -> list[str]:
    """The files outside `docs` that pages link to, and that are no pages themselves."""
    sources = [*PAGES, *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
    targets = {
        normpath(f"{dirname(source)}/{target}".lstrip("/"))
        for source in sources
        for target in LINK.findall((ROOT / source).read_text(encoding="utf-8"))
    }
    return sorted(
        path for path in targets if not path.startswith("docs/") and path not in PAGES
        and (ROOT / path).is_file()
    )  # fmt: skip


def on_page_markdown(markdown, page, **_):
    """Puts in what is generated, and sends links to where their files are on the site."""
    here = page.file.src_uri
    source = {page: file for file, page in PAGES.items()}.get(here, f"docs/{here}")

    def target(link: re.Match) -> str:
        path = normpath(f"{dirname(source)}/{link[0]}".lstrip("/"))
        known = PAGES.get(path) or path.removeprefix("docs/")
        if not path.startswith("docs/") and path not in PAGES and (ROOT / path).is_file():
            known = f"files/{path}"
        return relpath(known, dirname(here) or ".")

    if not here.startswith("api/") and here != "examples.md":
        markdown = LINK.sub(target, markdown)
    for name, make in {"commands": commands, "parameters": parameters}.items():
        marker = f"<!-- generated: {name} -->"
        markdown = markdown.replace(marker, make()) if marker in markdown else markdown
    return markdown
