"""Hook of MkDocs: the site holds the repository's pages at the places they have in the repository.

Links between README, ``docs/`` and ``benchmarks/results/`` are relative, so that they work in a checkout. The site
mirrors these folders, and links that lead to other files of the repository, such as sources, point to a copy.
"""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PATTERNS = ("*.md", "NOTICE", "LICENSE", "CITATION.cff", "docs/**/*", "benchmarks/results/*")
LEFT_OUT = {".py", ".pyc"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Every page and picture by its path in the repository, besides what the theme brings."""
    docs = Path(config.docs_dir)
    kept = [file for file in files if not (file.abs_src_path and Path(file.abs_src_path).is_relative_to(docs))]
    found = {path for pattern in PATTERNS for path in ROOT.glob(pattern) if path.is_file()}
    own = (path for path in sorted(found) if path.suffix not in LEFT_OUT)
    return Files([*kept, *(mirrored(path, config) for path in own)])


def mirrored(path: Path, config: MkDocsConfig) -> File:
    """A file of the repository at its relative path; README.md is the first page."""
    return File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))
