# SPDX-License-Identifier: Apache-2.0
"""Sum up the counts that commands have written to files (``.ci/run``).

Standard library only: it must work even if nothing could be installed.

    python3 tools/total.py NAME STATUS FILE [NAME STATUS FILE]...
"""

from collections.abc import Sequence
import json
from pathlib import Path
import sys


def count(name: str, status: int, path: Path) -> tuple[int, int, str]:
    """Return how many of a command's checks passed and failed.

    :param name: of the command.
    :param status: its exit status.
    :param path: file of JSON with ``passed`` and ``failed``. If it is missing,
        or has no failure although the command failed, the command counts as
        a failed check.
    :returns: passed, failed, a line for people.
    """
    try:
        data = json.loads(path.read_text())
        passed, failed = int(data['passed']), int(data['failed'])
    except (OSError, ValueError, KeyError, TypeError) as e:
        return 0, 1, f'{name}: exit status {status}, no counts ({e})'
    if not failed and (status or not passed):
        failed = 1
    return passed, failed, (f'{name}: exit status {status}, '
                            f'{passed} passed, {failed} failed')


def main(argv: Sequence[str]) -> int:
    """Print a line for each command and the total.

    :returns: 0 if nothing failed, else 1.
    """
    passed = failed = 0
    for name, status, path in zip(argv[::3], argv[1::3], argv[2::3],
                                  strict=True):
        good, bad, line = count(name, int(status), Path(path))
        print(line)
        passed += good
        failed += bad
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
