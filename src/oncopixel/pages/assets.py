"""Scripts and styles inside a page, and the policy that lets a browser run these and no others."""

import base64
import hashlib
import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import jinja2
from markupsafe import Markup

from .tables import order, rich
from .texts import cell, words

TEMPLATES = files(__package__) / "templates"


class Assets(NamedTuple):
    """What stands in the head and at the end of a page."""

    styles: tuple[Markup, ...]
    scripts: tuple[Markup, ...]
    """Modules, in their order."""
    policy: str
    """Content security policy: nothing from anywhere, no script and no style but these."""


@cache
def assets(*, plots: bool) -> Assets:
    """Style of all pages, DataTables, with `plots` Vega-Lite, and what ties a page to these."""
    tables, css = _data_tables()
    styles = [css, _own("page.css")]
    scripts = [*([_vega()] if plots else []), f"{tables}\n{_own('page.js')}"]
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src {_hashes(styles)}; script-src {_hashes(scripts)}"
    )
    return Assets(tuple(map(Markup, styles)), tuple(map(Markup, scripts)), policy)


@cache
def environment(package: str, explained: Callable[[str], str] = lambda _: "") -> jinja2.Environment:
    """Templates of a package and of this room; `explained` is what the head of a column says."""
    found = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package), jinja2.PackageLoader(__package__)]
        ),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    found.filters |= {"cell": cell, "words": words, "percent": "{:.0%}".format}
    found.filters |= {"explained": explained, "rich": rich, "order": order}
    return found


def _own(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _data_tables() -> tuple[str, str]:
    """Script and style of DataTables, as `itables` has them; the script defines `DataTable`."""
    folder = files("itables") / "html"
    script = (folder / "dt_bundle.js").read_text(encoding="utf-8")
    exports = re.search(r"export\{([^}]*)\};?", script)
    name = exports and re.search(r"([\w$]+) as default", exports[1])
    if not (exports and name):
        raise RuntimeError("itables has another bundle than this package was made for")
    script = script.replace(exports[0], f";const DataTable={name[1]};")
    return _inline(script), (folder / "dt_bundle.css").read_text(encoding="utf-8")


def _vega() -> str:
    """Vega, Vega-Lite and vega-embed, with the interpreter that needs no `eval`."""
    import vl_convert

    return _inline(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _inline(script: str) -> str:
    """`script` as it may stand in HTML."""
    return re.sub(r"</(script)", r"<\\/\1", script, flags=re.IGNORECASE).replace("<!--", r"<\!--")


def _hashes(parts: list[str]) -> str:
    digests = (hashlib.sha256(part.encode()).digest() for part in parts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
