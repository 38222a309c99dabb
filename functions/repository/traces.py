"""Traces of the machine that a model was made on: source paths and stack traces in its texts and names.

Names are judged more mildly: exporters call nodes ``/layer1/conv/Conv``, which is no path. So does a text that tells of such a
node.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import islice

#: Folders that a path of a machine begins with, and that hardly any layer is called.
_ROOTS = "home|Users|tmp|usr|mnt|srv|etc|var|private|workspaces?|scratch|gpfs|nfs|dbfs|kaggle|Volumes|Applications|Library"
_SOURCE = "py|pyc|pyi|pyx|ipynb|cc|cpp|cxx|cu|cuh|hpp|so|jl"
_BEFORE = r"(?<![\w/\\.~-])"
#: What is a trace wherever it stands.
_CERTAIN = rf"""file:[/\\]
    | {_BEFORE}/{{1,3}}(?:{_ROOTS})/[^\s/"']+/[^\s/"']
    | (?<!\w)[A-Za-z]:\\+[^\s\\"']
    | (?<!\w)[A-Za-z]:/[^\s/"']+/[^\s/"']
    | (?<![\w\\])\\{{2,4}}[\w.$-]+\\{{1,2}}[\w.$-]
    | {_BEFORE}(?:~[\w.-]{{0,64}}|\$\{{?HOME\}}?|%\w{{1,64}}%)[/\\]\w
    | [/\\][^\s/\\"']*\.(?:{_SOURCE})(?![\w/\\.-])
    | Traceback\ \(most\ recent
    | File\ ["'][^"'\n]+["'],\ line\ \d
    | \w\.(?:py|ipynb|cc|cpp|cu|hpp|so|jl):\d
    """
#: Any absolute path of at least two steps; the first is caught.
_PATH = rf"""{_BEFORE}/{{1,3}}([^\s/"'<>|]+)/[^\s/"']"""
#: A text that has none of these, and no slash, has no trace.
SIGNS = (b"\\", b"line", b".py", b"recent", b".cc:", b".cpp:", b".cu:", b".hpp:", b".so:", b".jl:", b".ipynb")
#: Addresses are no paths, except of files.
_ADDRESS = r"\b(?!file:)[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s\"'<>]*"


@cache
def _pattern(text: str) -> re.Pattern[str]:
    """Compiled when it is first needed: most models have no text with a sign, and a server's start waits for none."""
    return re.compile(text, re.VERBOSE)


def certain(text: str) -> bool:
    """Whether a name or a text has what no layer is called."""
    return _pattern(_CERTAIN).search(_pattern(_ADDRESS).sub(" ", text)) is not None


def steps(text: str, most: int) -> set[str]:
    """The first steps of what may be paths in a text, or names of nodes: of the first so many."""
    return {found[1] for found in islice(_pattern(_PATH).finditer(_pattern(_ADDRESS).sub(" ", text)), most)}
