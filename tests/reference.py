"""The reference pages that the documentation site makes of the code and of the schema."""

from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

HOOKS = Path(__file__).parents[1] / "docs" / "hooks.py"


@cache
def reference(name: str) -> str:
    """The Markdown of `commands` or `parameters`."""
    spec = spec_from_file_location("hooks", HOOKS)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)()
