"""Nothing tells anybody to install the distribution by its name: on the public index somebody else could hold it."""

import re
import tomllib

import pytest

from guardrail.errors import extra
from tests.docs.pages import ROOT, pages

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BY_NAME = re.compile(rf"""pip install\b[^\n]*[\s'"`]{PROJECT["name"]}\b|dependencies = .*{PROJECT["name"]}""")
FILES = [*pages(), *sorted((ROOT / "guardrail").rglob("*.py"))]


def test_nothing_installs_the_distribution_by_name():
    found = [f"{file.relative_to(ROOT)}: {told}" for file in FILES for told in BY_NAME.findall(file.read_text())]
    assert not found
    assert BY_NAME.search(f"pip install '{PROJECT['name']}[eval]'")
    assert BY_NAME.search(f'dependencies = ["{PROJECT["name"]}"]')


@pytest.mark.parametrize("name", sorted(set(PROJECT["optional-dependencies"]) - {"dev"}))
def test_an_extra_is_installed_from_the_clone(name):
    """As the README installs the rest: a path, and the versions that were tested."""
    assert extra(name) == f"in a clone of Guardrail, pip install -c constraints.txt '.[{name}]'"
    assert (ROOT / "constraints.txt").is_file()
