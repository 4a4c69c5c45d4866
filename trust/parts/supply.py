"""The supply chain: the code, the workflows, what the package needs, and what is published."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ..report import Report, Row

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
COMMAND = "python -m trust supply"

NOT_AUDITED = (
    "**pip-audit tried nothing.** It asks PyPI for the advisories of each version, and got no "
    "answer here. Nothing replaces that offline: pip-audit has no advisories of its own, and a "
    "copy of them knows none that came later. So nothing is said about the dependencies. The job "
    "“Supply chain” in `.github/workflows/test.yml` asks with each push to main and every week."
)
OFFLINE = (
    "zizmor ran offline. To know whether each pinned commit is that of the tag beside it, and "
    "whether an action has an advisory, it has to ask GitHub. It does in the job “Supply chain”, "
    "which gives it a token."
)


def run(*, quick: bool) -> Report:
    report = Report("Supply")
    report.rows += [*_bandit(), _zizmor()]
    if not os.environ.get("GH_TOKEN"):
        report.notes.append(OFFLINE)
    if not quick:
        with tempfile.TemporaryDirectory() as folder:
            report.rows += _builds(Path(folder), report.notes)
            wheel = next(Path(folder).glob("*/dist/*.whl"))
            report.rows.append(_sbom(Path(folder), wheel))
            report.rows.append(_pip_audit(Path(folder), wheel))
        if not report.rows[-1].tried:
            report.notes.append(NOT_AUDITED)
    return report


def _run(*command: str | Path, cwd: Path = ROOT, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run ``command`` with the tools of this environment first, and return its result."""
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PATH": path, "NO_COLOR": "1", **extra}
    environment.pop("SOURCE_DATE_EPOCH", None)
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def _json(result: subprocess.CompletedProcess[str]) -> Any:
    """What a tool reported. It ends with 1 if it has found something, too."""
    try:
        return json.loads(result.stdout)
    except ValueError:
        raise RuntimeError(f"{result.args[0]} failed:\n{result.stdout}{result.stderr}") from None


def _bandit() -> list[Row]:
    found = _json(_run("bandit", "--quiet", "--format", "json", "--recursive", "frappe_tokens"))
    files = [*found["metrics"]]
    for issue in found["results"]:
        print(f"{issue['filename']}:{issue['line_number']}: {issue['test_id']}")
    skips = [
        (above, line)
        for path in sorted((ROOT / "frappe_tokens").rglob("*.py"))
        for above, line in _pairs(path.read_text())
        if "nosec" in line
    ]
    return [
        Row(
            "bandit finds nothing in the files of the package but what is explained beside it",
            len(files) - 1,  # the other is the sum
            len(found["results"]) + len(found["errors"]),
            "bandit -r frappe_tokens",
            "6, all harmless, none explained to bandit",
        ),
        Row(
            "each place where bandit is silenced names the rule and the reason",
            len(skips),
            sum(not _is_explained(above, line) for above, line in skips),
            "grep -rB1 nosec frappe_tokens",
        ),
    ]


def _pairs(text: str) -> zip[tuple[str, str]]:
    lines = text.splitlines()
    return zip(["", *lines], lines, strict=False)


def _is_explained(above: str, line: str) -> bool:
    silenced = re.search(r"# nosec (?:B\d{3},? ?)+(# \S.*)?$", line)
    return silenced is not None and bool(silenced[1] or above.lstrip().startswith("#"))


def _zizmor() -> Row:
    options = [] if os.environ.get("GH_TOKEN") else ["--offline"]
    command = ["zizmor", *options, "--pedantic", "--format", "json", ".github"]
    found = [one for one in _json(_run(*command)) if not one["ignored"]]
    for one in found:
        print(f"{one['ident']}: {one['desc']}")
    workflows = [*(ROOT / ".github" / "workflows").glob("*.yml")]
    return Row(
        "zizmor, at the second of its three levels, finds nothing in the workflows",
        len(workflows) + 1,
        len(found),
        " ".join(["zizmor", *options, "--pedantic .github"]),
        "14, none of them at the first level",
    )


def _builds(folder: Path, notes: list[str]) -> list[Row]:
    """Build the package twice, by all that may differ between two machines."""
    built = []
    for number, (place, mask, zone) in enumerate(
        [("a", 0o022, "UTC"), ("another/place", 0o077, "Asia/Tokyo")]
    ):
        checkout = folder / place
        checkout.parent.mkdir(parents=True, exist_ok=True)
        mask_before = os.umask(mask)
        try:
            _run("git", "clone", "--quiet", ROOT, checkout).check_returncode()
            for path in checkout.glob("**/*"):
                if path.is_file() and ".git" not in path.parts:
                    time = 1_000_000_000 + number * 1_000_001
                    os.utime(path, (time, time))
            output = folder / f"{number}" / "dist"
            result = _run(".ci/package", output, cwd=checkout, TZ=zone, LC_ALL="C")
        finally:
            os.umask(mask_before)
        if result.returncode:
            raise RuntimeError(f".ci/package failed:\n{result.stdout}{result.stderr}")
        built.append({path.name: path.read_bytes() for path in output.iterdir()})
    first, second = built
    differ = sum(first.get(name) != second.get(name) for name in {*first, *second})
    for name, content in sorted(first.items()):
        print(f"sha256 {hashlib.sha256(content).hexdigest()}  {name}")
    notes.append(
        "The two builds differ in the folder, the permissions and the times of the files, the "
        "time of the build, and the time zone. Both are of one commit on one machine, with the "
        "same setuptools and zlib."
    )
    files = re.search(r"the (\d+) files of the package and no others", result.stdout)
    return [
        Row(
            "two builds of one commit give the same source distribution and wheel, byte for byte",
            len({*first, *second}),
            differ,
            COMMAND,
            "the source distribution differed; the wheel too, after a checkout with another mask",
        ),
        Row(
            "wheel and source distribution have the wanted files and no others",
            2 * int(files[1]) if files else 0,
            0,  # .ci/package would have failed
            ".ci/package dist",
            "74 of the tests' modules were in the source distribution, without what they import",
        ),
    ]


def _sbom(folder: Path, wheel: Path) -> Row:
    path = folder / "sbom.json"
    result = _run(".ci/sbom", wheel, path)
    if result.returncode:
        raise RuntimeError(f".ci/sbom failed:\n{result.stdout}{result.stderr}")
    bom = json.loads(path.read_text())
    parts = [bom["metadata"]["component"], *bom["components"]]
    needs = {each["ref"]: each.get("dependsOn", []) for each in bom["dependencies"]}
    known, waiting = set(), [parts[0]["bom-ref"]]
    while waiting:
        if (ref := waiting.pop()) not in known:
            known.add(ref)
            waiting += needs[ref]
    incomplete = [part for part in parts if not (part.get("version") and part.get("licenses"))]
    lost = [part for part in parts if part["bom-ref"] not in known]
    return Row(
        "the wheel's bill of materials names the version, licence and reason of each part",
        len(parts),
        len({part["bom-ref"] for part in incomplete + lost}),
        ".ci/sbom dist/*.whl sbom.json",
    )


def _pip_audit(folder: Path, wheel: Path) -> Row:
    """Ask PyPI about all that the wheel and its extras bring, but for the driver of MySQL."""
    environment = folder / "environment"
    _run(sys.executable, "-m", "venv", "--without-pip", environment).check_returncode()
    wanted = f"{wheel}[oauth,openapi,postgres,redis,scanning]"
    target = environment / "bin" / "python"
    pip = _run(sys.executable, "-m", "pip", "--python", target, "install", "-qq", wanted)
    if pip.returncode:
        raise RuntimeError(f"pip failed:\n{pip.stdout}{pip.stderr}")
    (packages,) = environment.glob("lib/python*/site-packages")
    result = _run("pip-audit", "--progress-spinner", "off", "--format", "json", "--path", packages)
    # Without any answer, it ends with an error, or skips all packages.
    parts = json.loads(result.stdout)["dependencies"] if result.stdout.strip() else []
    audited = [part for part in parts if "vulns" in part]
    vulnerable = [part for part in audited if part["vulns"]]
    for part in vulnerable:
        print(part["name"], part["version"], *(found["id"] for found in part["vulns"]))
    # This package may not be published. Another without an answer is no success.
    skipped = [part for part in parts if "vulns" not in part and part["name"] != "frappe-tokens"]
    return Row(
        "pip-audit knows of no vulnerability in what the package and its extras install",
        len(audited),
        len(vulnerable + skipped) if audited else 0,
        "pip-audit --path .../site-packages",
    )
