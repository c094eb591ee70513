"""What the upstream's payload looks like. A module of its own, for classes of msgspec's cannot be compiled."""

from typing import Final

import msgspec


class Payload(msgspec.Struct):
    """The part of the payload that makes it valid; other keys pass.

    msgspec accepts neither booleans nor strings as a number. Decoded as a float, an integer has the same range as any
    other number.
    """

    time: float


decode_payload: Final = msgspec.json.Decoder(Payload).decode
"""Raises msgspec.ValidationError for what is no `Payload`, and its base DecodeError for what is no JSON."""
check_syntax: Final = msgspec.json.Decoder(msgspec.Raw).decode
"""Raises msgspec.DecodeError for what is no JSON."""
