"""The corpus, and inputs made of it by chance alone."""

from ast import literal_eval
from pathlib import Path
from random import Random

CORPUS = Path(__file__).resolve().parent / "corpus"
MAX_BYTES = 4096


def corpus(target: str) -> list[bytes]:
    """Read the inputs that are kept for a target: one to a line, as Python writes bytes."""
    lines = (CORPUS / f"{target}.txt").read_text("ascii").splitlines()
    return [literal_eval(line) for line in lines]


def mutate(chance: Random, seeds: list[bytes], words: tuple[bytes, ...]) -> bytes:
    """Change one of the seeds in a few places."""
    data = chance.choice(seeds)
    for _ in range(chance.choice((1, 1, 2, 3, 5, 8))):
        at, size = chance.randint(0, len(data)), chance.choice((0, 0, 1, 1, 2, 4, 16))
        cut = data[at : at + size]
        match chance.randrange(8):
            case 0:
                put = chance.randbytes(max(size, 1))
            case 1:
                put = bytes(each ^ (1 << chance.randrange(8)) for each in cut)
            case 2:
                put = cut * chance.choice((0, 2, 2, 3, 50))
            case 3:
                put = cut.swapcase()
            case 4:
                other = chance.choice(seeds)
                put = other[chance.randint(0, len(other)) :]
            case _:
                put = chance.choice(words)
        data = data[:at] + put + data[at + size :]
    return data[:MAX_BYTES]
