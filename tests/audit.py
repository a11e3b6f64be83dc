"""What pip-audit found, and what it could not look up: it calls a package that it skipped no fault.

    python tests/audit.py [ARGUMENTS OF pip-audit...]

Exit code: 0 all was looked up and nothing found, 1 something found, 2 too little was looked up to say so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires
from typing import Any

COMMAND = ("-m", "pip_audit", "--local", "--skip-editable", "--progress-spinner", "off", "--format", "json")


def pinned_by_mindsdb() -> str:
    """Return what MindsDB asks for, in lower case."""
    try:
        return "\n".join(requires("mindsdb") or ()).lower()
    except PackageNotFoundError:
        return ""


def report(packages: Sequence[Mapping[str, Any]], mindsdb: str) -> tuple[list[str], int]:
    """Return the lines to print for what pip-audit says of ``packages``, and the exit code."""
    own = [one for one in packages if "editable" not in str(one.get("skip_reason"))]
    skipped = [one for one in own if "skip_reason" in one]
    holes = [(one, hole) for one in own for hole in one.get("vulns", ())]
    lines = []
    for one, hole in holes:
        fixed = ", ".join(hole.get("fix_versions", ())) or "nothing yet"
        whose = " (MindsDB asks for it: what version can be had is MindsDB's to say)" if one["name"] in mindsdb else ""
        lines.append(f"{one['name']} {one['version']}: {hole['id']}, fixed in {fixed}{whose}")
    if holes:
        lines.append(f"{len(holes)} known vulnerabilities in {len(own) - len(skipped)} packages.")
    if len(skipped) * 2 > len(own) or not own:
        lines.append(
            f"NOT AUDITED: {len(skipped)} of {len(own)} packages could not be looked up. Is PyPI's list of "
            "vulnerabilities to be reached from here? A mirror of packages alone does not have it."
        )
        return lines, 1 if holes else 2
    if skipped:
        lines.append(f"Not looked up: {', '.join(sorted(one['name'] for one in skipped))}.")
    if not holes:
        lines.append(f"No known vulnerabilities in {len(own) - len(skipped)} packages.")
    return lines, 1 if holes else 0


def main(arguments: list[str]) -> int:
    """Run pip-audit and print what came of it."""
    done = subprocess.run([sys.executable, *COMMAND, *arguments], capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        print(f"NOT AUDITED: pip-audit could not look anything up.\n{done.stderr.strip()[-600:]}")
        return 2
    lines, code = report(packages, pinned_by_mindsdb())
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
