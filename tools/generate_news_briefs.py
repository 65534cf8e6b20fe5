"""Write the file of the bundled corpus, `src/summexp/data/news_briefs.jsonl.xz`.

`python tools/generate_news_briefs.py` writes it; with `--check` it writes nothing, and ends with
exit code 1 if the file has other rows.
"""

from __future__ import annotations

import argparse
import json
import lzma
import sys

from news_briefs import generate
from summexp.data.news_briefs import FILE, SIZES


def main() -> int:
    """Write the file, or with --check compare its rows, since its bytes depend on liblzma."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if out of date")
    check = parser.parse_args().check
    pairs = generate(sum(SIZES.values())).items()
    lines = [json.dumps({"document": text, "summary": summary}) for text, summary in pairs]
    content = "\n".join([*lines, ""]).encode()
    if FILE.is_file() and lzma.decompress(FILE.read_bytes()) == content:
        return 0
    if check:
        print(f"{FILE.name} is out of date: run make generate")
        return 1
    FILE.write_bytes(lzma.compress(content, preset=9))
    print(f"{FILE.name} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
