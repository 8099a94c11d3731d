"""Errors that a user caused and can mend."""

from __future__ import annotations


class UserError(Exception):
    """One message for the user: what failed and where, the rule that was broken, and the next step. Exit code 2.

    The parts are kept apart so that reports can sort by rule; `str()` joins them into one line.
    """

    def __init__(self, problem: str, *, where: str = "", origin: str = "", rule: str = "", hint: str = "") -> None:
        self.problem, self.where, self.origin, self.rule, self.hint = problem, where, origin, rule, hint
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        origin = f" (from {self.origin})" if self.origin and self.origin != self.where else ""
        rule = f"; rule: {self.rule}" if self.rule else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{place}{self.problem}{origin}{rule}{hint}"
