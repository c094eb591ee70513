"""Which answers of an upstream are a success, and which are final, on a route that passes them on (R04, R05)."""

from collections.abc import Callable
from typing import Final

import msgspec

from hedgerow.core.header_fields import HeaderSection
from hedgerow.core.outcomes import Answer, Failure, FailureReason, Outcome, Success
from hedgerow.core.payload import check_syntax
from hedgerow.core.response_validation import classify_response, reason_for_status

_FAILURE: Final = 0
_SUCCESS: Final = 1
_FINAL: Final = 2
_STATUSES: Final = 1_000

NO_CONTENT: Final = 204
NOT_MODIFIED: Final = 304

ANY_JSON: Final = "any"
JSON_OBJECT: Final = "object"
JSON_TIME: Final = "time"

_BLANKS: Final = b" \t\r\n"
"""RFC 8259 section 2."""


MAX_KNOWN_HEADS: Final = 32
"""Lengths of answers that a head is kept for, of each kind of request: some 500 bytes each. All are forgotten where one
more comes. The seed's upstream has three lengths; with one head for all, 22 % of its answers go through llhttp."""


class KnownHead:
    """The head of an answer that came whole in one read, with its body, and left its connection open."""

    __slots__ = ("head", "section", "status")

    def __init__(self, head: bytes, status: int, section: HeaderSection) -> None:
        self.head = head
        """Its bytes, the empty line included."""
        self.status = status
        self.section = section


class KnownHeads:
    """Heads of answers to one kind of request: the last of each length of a whole answer.

    Answers of one second mostly differ in their bodies alone, `Date` being the same, or in their lengths.
    """

    __slots__ = ("_by_length",)

    def __init__(self) -> None:
        self._by_length: dict[int, KnownHead] = {}

    def head_of(self, data: bytes) -> KnownHead | None:
        """Return the head of a whole answer, if it came before: llhttp would read this one alike."""
        known = self._by_length.get(len(data))
        return known if known is not None and data.startswith(known.head) else None

    def remember(self, known: KnownHead, message_bytes: int) -> None:
        """Know the head of a whole answer, head and body, of this length."""
        if len(self._by_length) >= MAX_KNOWN_HEADS:
            self._by_length.clear()
        self._by_length[message_bytes] = known


class AnswerRules(KnownHeads):
    """The rules of one route."""

    __slots__ = (
        "_json", "_keeps_failures", "_kinds", "_schema_problem", "reads_body",
    )  # fmt: skip

    def __init__(
        self,
        success: tuple[tuple[int, int], ...],
        final: tuple[tuple[int, int], ...] = (),
        *,
        json: str = "",
        schema_problem: Callable[[bytes], Failure | None] | None = None,
        keeps_failures: bool = False,
    ) -> None:
        """`success` and `final` are ranges of status codes, both ends included; success comes before final.

        `json` is what the body must be: "any", "object", "time", or "" where it is not read. `schema_problem` returns
        the failure of a body. `keeps_failures`: a failure has its answer, for the client may get it yet.
        """
        super().__init__()
        kinds = bytearray(_STATUSES)
        for kind, ranges in ((_FINAL, final), (_SUCCESS, success)):
            for first, last in ranges:
                for status in range(max(first, 200), min(last, _STATUSES - 1) + 1):
                    kinds[status] = kind
        self._kinds = bytes(kinds)
        self._json = json
        self._schema_problem = schema_problem
        self._keeps_failures = keeps_failures
        self.reads_body = bool(json) or schema_problem is not None
        """Whether bodies must be there as they are meant, without a coding."""

    def classify(self, status: int, section: HeaderSection, body: bytes, *, is_head: bool) -> Outcome:
        """Return what an answer is. Never raises, whatever the bytes.

        An answer to HEAD has no body, and is judged by its status alone.
        """
        kind = self._kinds[status] if status < _STATUSES else _FAILURE
        if kind == _SUCCESS and self.reads_body and not is_head:
            failure = self._body_problem(section, body)
        elif kind == _FAILURE:
            failure = Failure(reason_for_status(status), f"status {status}")
        else:
            failure = None
        if failure is not None and not self._keeps_failures:
            return failure
        headers = section.passed
        # RFC 9110 section 8.6: the length of a body that is not there; a 204 must not have one.
        if (is_head or status == NOT_MODIFIED) and section.length_line and status != NO_CONTENT:
            headers += section.length_line
        answer = Answer(status, headers, body, has_date=section.has_date, is_final=kind == _FINAL)
        if failure is not None:
            return Failure(failure.reason, failure.detail, answer)
        return Success(body, answer)

    def _body_problem(self, section: HeaderSection, body: bytes) -> Failure | None:
        if section.coding and section.coding != b"identity":
            return Failure(FailureReason.BAD_JSON, f"the body has the coding {section.coding[:40]!r}")
        if self._json == JSON_TIME:
            outcome = classify_response(200, body)
            if isinstance(outcome, Failure):
                return outcome
        elif self._json:
            problem = _syntax_problem(body)
            if problem:
                return Failure(FailureReason.BAD_JSON, problem)
            if self._json == JSON_OBJECT and not body.lstrip(_BLANKS).startswith(b"{"):
                return Failure(FailureReason.BAD_PAYLOAD, "JSON, but no object")
        return None if self._schema_problem is None else self._schema_problem(body)


def _syntax_problem(body: bytes) -> str:
    """Return why a body is no JSON in UTF-8, or an empty string."""
    try:
        check_syntax(body)
        if not body.isascii():
            body.decode()  # msgspec does not look into the strings that it skips
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return str(error) or type(error).__name__
    return ""
