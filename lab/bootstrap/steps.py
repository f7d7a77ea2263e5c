# SPDX-License-Identifier: Apache-2.0
"""The steps of the preparation: run, report, fail."""

from collections.abc import Iterator
import contextlib
import os
from pathlib import Path
import subprocess
import time

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / '.lab'


class BootstrapError(Exception):
    """A step failed; the text says which and what to do."""


def say(text: str) -> None:
    """Print a line of progress."""
    print(f'bootstrap: {text}', flush=True)


def run(*command: str, env: dict[str, str] | None = None) -> None:
    """Run a command; its output is shown only when it fails.

    :param env: variables to add to the environment.
    :raises BootstrapError: when it is missing or fails.
    """
    try:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, errors='replace',
                       env={**os.environ, **(env or {})})
    except FileNotFoundError as e:
        raise BootstrapError(f'{command[0]} is not installed') from e
    except subprocess.CalledProcessError as e:
        raise BootstrapError(f'{" ".join(command)}: exit status '
                             f'{e.returncode}\n{e.stdout}') from e


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Print what is being done, and its duration."""
    say(f'{what} ...')
    start = time.monotonic()
    yield
    say(f'{what}: {time.monotonic() - start:.1f} s')
