"""docs/reference/commands.md and the guides say what `klein COMMAND --help` says: no option without a word, no word without an option."""
import os
import re

import pytest

from lib.kubectl import ROOT
from lib.process import run
from lib.server import klein_program

COMMANDS = ["up", "down", "status", "token", "backup", "restore", "grow", "upgrade", "chaos", "prove", "recover", "server", "agent"]
PAGES = ["README.md", "docs/reference/commands.md", "docs/guide/three-machines.md", "docs/guide/when-things-fail.md",
         "docs/guide/backup.md", "docs/guide/prove.md"]
# What a section leaves to a guide.
GUIDES = {"backup": "docs/guide/backup.md", "restore": "docs/guide/backup.md", "grow": "docs/guide/backup.md", "recover": "docs/guide/backup.md",
          "chaos": "docs/guide/prove.md", "prove": "docs/guide/prove.md"}
COMMON = {"help"}


def text_of(page):
    with open(os.path.join(ROOT, page), encoding="utf-8") as file:
        return file.read()


def options_of(command):
    """{option: its default or None}, from --help."""
    rows = re.findall(r"^  --([a-z-]+)(.*)$", run(klein_program(), command, "--help"), re.M)
    return {name: (re.findall(r"\(default: (.*?)\)", rest) or [None])[0] for name, rest in rows}


def section(command):
    """What the reference says about a command, and the guide it leads to."""
    parts = re.split(r"^## ", text_of("docs/reference/commands.md"), flags=re.M)
    found = [part for part in parts[1:] if re.search(rf"\bklein {command}\b", part.splitlines()[0])]
    return "".join(found) + (text_of(GUIDES[command]) if command in GUIDES else "")


def test_every_command_is_told():
    """`klein help`, the reference and this test know the same commands."""
    listed = re.findall(r"^  ([a-z]+) {2,}", run(klein_program(), "help"), re.M)
    assert sorted(listed) == sorted(COMMANDS)
    table = re.findall(r"`klein ([a-z]+)`", text_of("docs/reference/commands.md"))
    assert set(COMMANDS) <= set(table)


@pytest.mark.parametrize("command", COMMANDS)
def test_options_are_told(command):
    """Every option of a command stands in its section of the reference, or in the guide that section leads to."""
    told = set(re.findall(r"(?<![\w-])--([a-z][a-z-]*)", section(command)))
    assert [name for name in options_of(command) if name not in told | COMMON] == []


@pytest.mark.parametrize("command", ["up", "server", "agent"])
def test_defaults_are_told(command):
    """Defaults in the reference's tables are those of --help."""
    rows = re.findall(r"^\| `--([a-z-]+)[^|]*` \| ([^|]*) \|", section(command).replace("\\|", "/"), re.M)
    assert rows
    real = options_of(command)
    for name, cell in rows:
        if real.get(name):
            assert real[name] in cell.replace("`", ""), f"--{name}: {cell}"


@pytest.mark.parametrize("page", PAGES)
def test_told_options_exist(page):
    """An option that follows `klein COMMAND` on a line of a page is one of that command."""
    known = {command: set(options_of(command)) | COMMON for command in COMMANDS}
    wrong = []
    for line in text_of(page).splitlines():
        for command, rest in re.findall(r"\bklein ([a-z]+)((?:(?!\bklein\b)[^#`|])*)", line):
            if command in known:
                wrong += [f"{command} --{name}" for name in re.findall(r"(?<![\w-])--([a-z][a-z-]*)", rest) if name not in known[command]]
    assert wrong == []
