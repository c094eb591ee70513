"""What a success is: apart from transport and from policy, in one pure function.

Validating a whole body of 12 bytes costs 0.5 µs; hedgers that classify a response by its header section cut off the
bodies of winners (go-resty/resty#1197, cristalhq/hedgedhttp#1, #6 to #9).
"""

import msgspec

from hedgerow.core.outcomes import Failure, FailureReason, Outcome, Success
from hedgerow.core.payload import check_syntax, decode_payload


def classify_response(status: int, body: bytes) -> Outcome:
    """Return success or failure by status and whole body. Never raises, whatever the bytes.

    `time` must be a number that rounds to a finite double, however it is written: 1e999 and an integer of 400 digits
    are valid JSON, whose grammar has no range (RFC 8259 section 6), but `bad_payload`. Numbers elsewhere in the
    document are never used, so their range does not matter.
    """
    if status != 200:
        return Failure(reason_for_status(status), f"status {status}")
    try:
        payload = decode_payload(body)
        if not body.isascii():
            body.decode()  # msgspec does not look into the strings that it skips
    except msgspec.ValidationError as error:
        return _bad_payload_or_json(body, str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Failure(FailureReason.BAD_JSON, str(error))
    if payload.time < 0.0:  # comparing with the integer 0 takes 8 ns more
        return Failure(FailureReason.BAD_PAYLOAD, "time is negative")
    return Success(body)


def _bad_payload_or_json(body: bytes, detail: str) -> Failure:
    """Return the reason: validation stops at the first wrong value, and the rest may not be JSON at all."""
    try:
        check_syntax(body)
        body.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Failure(FailureReason.BAD_JSON, str(error))
    return Failure(FailureReason.BAD_PAYLOAD, detail)


def reason_for_status(status: int) -> FailureReason:
    """Return the reason of an answer whose status is no success."""
    if status == 429:
        return FailureReason.STATUS_429
    return FailureReason.STATUS_5XX if 500 <= status <= 599 else FailureReason.STATUS_OTHER
