"""Static files: named after their content, kept for ever, one request each."""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.server.conftest import Server

from lingula.server import assets


def test_a_name_holds_the_hash_of_what_is_sent_and_is_kept(served: Server) -> None:
    page = served.ask("GET", "/").body.decode()
    found = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(found) == 2  # one script, one style sheet
    for address in found:
        plain = served.ask("GET", address)
        assert hashlib.sha256(plain.body).hexdigest()[:12] in address
        assert plain.headers["cache-control"] == assets.KEPT
        packed = served.ask("GET", address, Accept_Encoding="gzip")
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body
    assert served.ask("GET", "/static/app-000000000000.js").status == 404
    assert served.ask("GET", "/").headers["cache-control"] == "no-store"


def test_modules_are_joined_into_one_script_that_runs(tmp_path: Path) -> None:
    script = assets.joined("app")
    assert not re.search(r"^(import|export) ", script, re.M)
    assert script.index("const module_api") < script.index("const module_tiles") < script.index("const module_app")
    if not (node := shutil.which("node")):
        pytest.skip("needs node")
    (tmp_path / "app.js").write_text(script)
    subprocess.run([node, "--check", str(tmp_path / "app.js")], check=True)
