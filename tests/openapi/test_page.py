"""The schema of the project of the page about OpenAPI."""

import subprocess
import sys

import yaml

from .page import blocks, make_project


def test_schema_is_the_one_on_the_page(tmp_path):
    (shown,) = blocks("yaml")

    done = subprocess.run(
        [sys.executable, "-m", "django", "spectacular", "--validate", "--fail-on-warn"],
        env=make_project(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    schema = yaml.safe_load(done.stdout)
    assert schema["paths"]["/api/report/"] == yaml.safe_load(shown)
    assert set(schema["components"]["securitySchemes"]) >= {
        "apiKeyToken",
        "apiKeyBasic",
        "apiKeyBearer",
    }
    assert {"/api/schema/", "/api/keys/"} <= set(schema["paths"])
