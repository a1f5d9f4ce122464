"""A workflow that every linter accepts, and copies of it with one thing wrong."""

from __future__ import annotations

from pathlib import Path

GOOD = """\
name: Good
on:
  schedule:
    - cron: "17 9 * * 1-5"
      timezone: America/New_York
permissions: {}
concurrency:
  group: feature-store
  queue: max
  cancel-in-progress: false
jobs:
  run:
    name: Run
    runs-on: ubuntu-24.04
    timeout-minutes: 10
    permissions:
      contents: write # commits the day
    steps:
      - name: Check out
        uses: actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2
        with:
          persist-credentials: false
      - name: Set up
        uses: ./.github/actions/setup
        with:
          line: daily
      - name: Commit
        env:
          GITHUB_TOKEN: ${{ github.token }}
          STORE: feature_store
        run: .venv/bin/python -m pipeline commit --store "$STORE"
"""
COMMAND = '.venv/bin/python -m pipeline commit --store "$STORE"'


def write_spoilt(folder: Path, old: str, new: str) -> Path:
    """Write GOOD with one piece replaced, and return where."""
    assert GOOD.count(old) == 1, f"{old!r} is not in the workflow once"
    path = folder / "spoilt.yml"
    path.write_text(GOOD.replace(old, new))
    return path
