"""What we ship to run the head-end names only what is in the tree."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def test_the_image_copies_only_what_its_context_lets_in():
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copies = re.findall(r"^COPY ([^-\n]+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert {name for line in copies for name in line.split()} == allowed


def test_the_image_holds_every_package_of_the_wheel():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    copied = (DEPLOY / "Dockerfile").read_text()
    assert [name for name in packages if f"COPY {name.rstrip('*')} " not in copied] == []


def test_compose_gives_the_headend_its_database_and_broker():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert set(services["headend"]["depends_on"]) == set(services) - {"headend"}
    assert (DEPLOY / services["headend"]["build"]["context"]).resolve() == ROOT
    assert (ROOT / services["headend"]["build"]["dockerfile"]).is_file()


def test_the_unit_runs_the_projects_own_command():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    unit = (DEPLOY / "systemd" / "headend.service").read_text()
    command = re.search(r"^ExecStart=\S+/bin/(\S+) ", unit, re.MULTILINE)
    assert command is not None
    assert command[1] in scripts
