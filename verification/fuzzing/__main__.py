"""`python -m verification.fuzzing TARGET --runs=N --seed=N`: fuzz one target with atheris.

Exit code 0 if no invariant was broken.
"""

import sys
import tempfile
from pathlib import Path

import atheris
import click

from verification.fuzzing.mutations import MAX_BYTES, corpus

with atheris.instrument_imports(include=["hedgerow"]):
    from verification.fuzzing.targets import TARGETS

SLOW_INPUT_S = 20
"""One input that takes longer is a finding; a busy machine takes a while for any."""
MEMORY_MIB = 1024


@click.command()
@click.argument("target", type=click.Choice(list(TARGETS)))
@click.option("--runs", type=click.IntRange(1), required=True, help="So many inputs.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
def main(target: str, runs: int, seed: int) -> None:
    """Run one target; atheris ends the process."""
    fuzzed = TARGETS[target]
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))  # the process ends in C: its parent removes it
    seeds = folder / "corpus"
    seeds.mkdir()
    for number, data in enumerate(corpus(target)):
        (seeds / f"{number:03}").write_bytes(data)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in fuzzed.words))
    atheris.Setup(
        [
            sys.argv[0], str(seeds), f"-runs={runs}", f"-seed={seed % 2**31 + 1}", f"-dict={words}",
            f"-max_len={MAX_BYTES}", "-len_control=0", f"-timeout={SLOW_INPUT_S}", f"-rss_limit_mb={MEMORY_MIB}",
            f"-artifact_prefix={folder}/", "-print_final_stats=1", "-verbosity=1",
        ],
        fuzzed.read,
    )  # fmt: skip
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
