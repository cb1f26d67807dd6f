"""Filters and orderings -> SQL with the same meaning as `core.query`'s predicate."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from gittrack.core.query import (
    ATTRIBUTES,
    And,
    Compare,
    Expr,
    Field,
    In,
    IsNull,
    Literal,
    Not,
    Or,
    Order,
    fit,
    number_in,
)
from gittrack.index.rows import clean

#: Conditions that become joins; SQLite joins at most 64 tables.
_MAX_JOINS = 8
_NEVER_NULL = ("run_id", "start_time", "dirty", "deleted")
_TIES = (Order(Field("attribute", "start_time"), True), Order(Field("attribute", "run_id")))


class Statement(NamedTuple):
    """SQL that selects `n` and the experiment's name of runs, and its values by name."""

    sql: str
    values: dict[str, object]


class Scope(NamedTuple):
    """Which runs a search may find at all.

    Of `commits` only their runs are found, and without an order they come in that of the list.
    """

    experiments: Collection[str] | None = None
    include_deleted: bool = False
    exclude_ids: Collection[str] = ()
    exclude_experiments: Collection[str] = ()
    commits: Sequence[str] | None = None


def compile_search(
    expr: Expr,
    orders: Sequence[Order],
    scope: Scope,
    limit: int | None,
    key_number: Callable[[str, str], int | None],
) -> list[Statement]:
    """The statements to try in order.

    A statement before the last one is a shortcut, and answers if it gives `limit` rows: ordered
    by a metric, the runs with a number there come first, and these an index holds in order.

    Args:
        key_number: from the kind and text of a key to its number, None for one nobody used.
    """
    ranked = scope.commits is not None and not orders
    orders = _distinct(orders)
    full = _Compiler(key_number, scope)
    full.top(expr)
    if ranked:
        return [full.statement(orders, limit, ["c.key"])]
    first = orders[0].field
    if limit is None or first.kind != "metric" or first in full.numbers:
        return [full.statement(orders, limit)]
    number = key_number("metric", first.key)
    if number is None:
        return [full.statement(orders, limit)]
    short = _Compiler(key_number, scope)
    short.top(expr)
    short.where.append(f"{short.joined(first, number)}.{first.stat} IS NOT NULL")
    short.numbers.add(first)
    return [short.statement(orders, limit), full.statement(orders, limit)]


def _distinct(orders: Sequence[Order]) -> list[Order]:
    """Each field once, where it first stands, with the ties that `sort_runs` has."""
    seen: dict[Field, Order] = {}
    for order in (*orders, *_TIES):
        seen.setdefault(order.field, order)
    return list(seen.values())


class _Compiler:
    """Gathers the parts of one statement.

    `r` is the run. Everything said inside `where` is true or false, never NULL, for runs that
    lack a value: `not` must mean what it means in Python.
    """

    def __init__(self, key_number: Callable[[str, str], int | None], scope: Scope) -> None:
        self.key_number = key_number
        self.values: dict[str, object] = {}
        self.joins: list[str] = []
        self.aliases: dict[tuple[str, str], str] = {}
        self.where: list[str] = []
        #: Metrics of which `where` leaves numbers alone or NaN alone: they order by themselves.
        self.numbers: set[Field] = set()
        if not scope.include_deleted:
            self.where.append("r.deleted = 0")
        if scope.experiments is not None:
            self.where.append(f"r.experiment_id IN {self.list_of(sorted(scope.experiments))}")
        if scope.exclude_experiments:
            hidden = self.list_of(sorted(scope.exclude_experiments))
            self.where.append(f"r.experiment_id NOT IN {hidden}")
        if scope.commits is not None:
            listed = self.value(json.dumps(list(scope.commits)))
            # A run may belong to several of them: it stands where the first one does.
            self.joins.append(
                "JOIN (SELECT run, min(at) AS key FROM ("
                f"SELECT own.n AS run, l.key AS at FROM json_each({listed}) l JOIN run own"
                ' ON own."commit" = l.value UNION ALL '
                f"SELECT link.run, l.key FROM json_each({listed}) l JOIN key k"
                " ON k.kind = 'link' AND k.text = l.value JOIN link ON link.key = k.n"
                ") GROUP BY run) c ON c.run = r.n"
            )
        if scope.exclude_ids:
            self.where.append(f"r.run_id NOT IN {self.list_of(sorted(scope.exclude_ids))}")

    def statement(
        self, orders: Sequence[Order], limit: int | None, first: Sequence[str] = ()
    ) -> Statement:
        by = ", ".join([*first, *(term for order in orders for term in self.order(order))])
        where = _chain(self.where, "AND", "1")
        tail = "" if limit is None else f" LIMIT {self.value(fit(max(0, limit)))}"
        sql = (
            f"SELECT r.n, r.experiment FROM run r {' '.join(self.joins)} "
            f"WHERE {where} ORDER BY {by}{tail}"
        )
        return Statement(sql, self.values)

    def value(self, value: Literal) -> str:
        """The placeholder of a value."""
        name = f"v{len(self.values)}"
        self.values[name] = clean(value) if isinstance(value, str) else fit(value)
        return f":{name}"

    def list_of(self, texts: Sequence[str]) -> str:
        # One value however long the list is: SQLite bounds how many a statement may have.
        return f"(SELECT value FROM json_each({self.value(json.dumps(list(texts)))}))"

    # Filters

    def top(self, expr: Expr) -> None:
        """Add a filter that must hold; tests of keys become joins while there is room."""
        if isinstance(expr, And):
            for item in expr.items:
                self.top(item)
            return
        if isinstance(expr, (Compare, In)) and expr.field.kind not in ("attribute", "dataset"):
            field = expr.field
            number = self.key_number(field.kind, field.key)
            if number is None:
                self.where.append("0")
                return
            if (field.kind, field.key) in self.aliases or len(self.aliases) < _MAX_JOINS:
                self.where.append(self.keyed(expr, self.joined(field, number) + "."))
                if _settles_nan(expr):
                    self.numbers.add(field)
                return
        self.where.append(self.condition(expr))

    def joined(self, field: Field, number: int) -> str:
        """The alias of the key's rows, joined to the runs that have one."""
        alias = self.aliases.get((field.kind, field.key))
        if alias is None:
            alias = f"j{len(self.aliases)}"
            self.aliases[field.kind, field.key] = alias
            self.joins.append(f"JOIN {self.rows_of(field, number, alias)}")
        return alias

    def rows_of(self, field: Field, number: int, alias: str) -> str:
        key = self.value(number)
        return f"{field.kind} {alias} ON {alias}.key = {key} AND {alias}.run = r.n"

    def condition(self, expr: Expr) -> str:
        """A condition on `r`, never NULL."""
        if isinstance(expr, And):
            return _chain([self.condition(item) for item in expr.items], "AND", "1")
        if isinstance(expr, Or):
            return _chain([self.condition(item) for item in expr.items], "OR", "0")
        if isinstance(expr, Not):
            return f"NOT {self.condition(expr.item)}"
        if expr.field.kind == "attribute":
            return self.attribute(expr)
        if expr.field.kind == "dataset":
            return self.dataset(expr)
        number = self.key_number(expr.field.kind, expr.field.key)
        if number is None:
            return "1" if isinstance(expr, IsNull) and not expr.negated else "0"
        rows = f"SELECT run FROM {expr.field.kind} WHERE key = {self.value(number)}"
        if isinstance(expr, IsNull):
            return f"(r.n {'' if expr.negated else 'NOT '}IN ({rows}))"
        return f"(r.n IN ({rows} AND {self.keyed(expr, '')}))"

    def dataset(self, expr: Compare | In | IsNull) -> str:
        """A test that one of the datasets passes."""
        column = expr.field.key
        if isinstance(expr, IsNull):
            rows = f"SELECT run FROM dataset WHERE {column} IS NOT NULL"
            return f"(r.n {'' if expr.negated else 'NOT '}IN ({rows}))"
        if isinstance(expr, In):
            found = self.one_of(column, expr.values)
            test = f"NOT {found}" if expr.negated else found
        else:
            test = self.text(column, expr.op, expr.value)
        return f"(r.n IN (SELECT run FROM dataset WHERE {column} IS NOT NULL AND {test}))"

    def one_of(self, column: str, values: Sequence[Literal]) -> str:
        """Whether a text is among values."""
        texts = [str(value) for value in values]
        # SQLite's JSON ends a text at a NUL.
        listed = self.list_of([text for text in texts if "\0" not in text])
        odd = [self.text(column, "=", text) for text in texts if "\0" in text]
        return f"({_chain([f'{column} IN {listed}', *odd], 'OR', '0')})"

    def attribute(self, expr: Compare | In | IsNull) -> str:
        column = _column(expr.field.key)
        if isinstance(expr, IsNull):
            return f"({column} IS {'NOT ' if expr.negated else ''}NULL)"
        kind = ATTRIBUTES[expr.field.key]
        if isinstance(expr, In):
            if kind == "text":
                found = self.one_of(column, expr.values)
            else:
                found = _chain([self.number(column, "=", v) for v in expr.values], "OR", "0")
            test = f"NOT ({found})" if expr.negated else found
        elif kind == "text":
            test = self.text(column, expr.op, expr.value)
        else:
            test = self.number(column, expr.op, expr.value)
        return f"({column} IS NOT NULL AND {test})"

    def keyed(self, expr: Compare | In, row: str) -> str:
        """A test of a row of `metric`, `param` or `tag`; may be NULL only where false will do."""
        if isinstance(expr, In):
            equal = [self.keyed(Compare(expr.field, "=", value), row) for value in expr.values]
            return ("NOT " if expr.negated else "") + _chain(equal, "OR", "0")
        if expr.field.kind == "metric":
            return self.number(row + expr.field.stat, expr.op, expr.value)
        if expr.field.kind == "tag":
            return self.text(f"{row}text", expr.op, expr.value)
        return self.param(expr, row)

    def param(self, expr: Compare, row: str) -> str:
        op, literal = expr.op, expr.value
        if op == "!=":
            return f"NOT {self.param(expr._replace(op='='), row)}"
        if not isinstance(literal, str):
            kind = "bool" if isinstance(literal, bool) else "number"
            if kind == "bool":
                return f"({row}kind = 'bool' AND {row}text = {self.value(str(literal))})"
            return f"({row}kind = 'number' AND {self.number(f'{row}number', op, literal)})"
        test = self.text(f"{row}text", op, literal)
        if op in ("<", "<=", ">", ">="):
            return f"({row}kind = 'text' AND {test})"
        if op == "=":
            spelled = number_in(literal)
            if spelled is not None:
                equal = self.number(f"{row}number", "=", spelled)
                test = f"({test} OR ({row}kind = 'number' AND {equal}))"
            elif literal.lower() in ("true", "false"):
                word = self.value(literal.lower().capitalize())
                test = f"({test} OR ({row}kind = 'bool' AND {row}text = {word}))"
        return test

    def number(self, column: str, op: str, literal: Literal) -> str:
        """A test of a number where NULL is NaN; never NULL itself."""
        if literal != literal:
            return {"=": f"({column} IS NULL)", "!=": f"({column} IS NOT NULL)"}.get(op, "0")
        if op in ("=", "!="):
            return f"({column} IS {'NOT ' if op == '!=' else ''}{self.value(literal)})"
        return f"({column} IS NOT NULL AND {column} {op} {self.value(literal)})"

    def text(self, column: str, op: str, literal: Literal) -> str:
        if op.endswith("like"):
            prefix = str(literal)[:-1]
            if op == "like" and literal == prefix + "%" and not set(prefix) & set("%_\0"):
                return f"(substr({column}, 1, {len(prefix)}) = {self.value(prefix)})"
            negation = "NOT " if op.startswith("not") else ""
            return (
                f"({negation}gt_like({self.value(literal)}, {column}, {int(op.endswith('ilike'))}))"
            )
        return f"({column} {'<>' if op == '!=' else op} {self.value(literal)})"

    # Orderings

    def order(self, order: Order) -> list[str]:
        """ORDER BY terms: numbers, NaN, other text, runs without a value."""
        field, down = order.field, " DESC" if order.descending else ""
        if field.kind == "attribute":
            column = _column(field.key)
            return (
                [column + down]
                if field.key in _NEVER_NULL
                else [f"{column} IS NULL", column + down]
            )
        number = self.key_number(field.kind, field.key)
        if number is None:
            return []
        alias = self.aliases.get((field.kind, field.key))
        if alias is None:
            alias = f"j{len(self.aliases)}"
            self.aliases[field.kind, field.key] = alias
            self.joins.append(f"LEFT JOIN {self.rows_of(field, number, alias)}")
        if field.kind == "tag":
            return [f"{alias}.run IS NULL", f"{alias}.text{down}"]
        if field.kind == "metric":
            value = f"{alias}.{field.stat}"
            if field in self.numbers:
                return [value + down]
            return [f"{alias}.run IS NULL", f"{value} IS NULL", value + down]
        rank = (
            f"CASE WHEN {alias}.run IS NULL THEN 3 "
            f"WHEN {alias}.kind = 'number' THEN {alias}.number IS NULL ELSE 2 END"
        )
        text = f"CASE WHEN {alias}.kind <> 'number' THEN {alias}.text END"
        return [rank, f"{alias}.number{down}", text + down]


def _column(name: str) -> str:
    return "max(0, r.end_time - r.start_time)" if name == "duration" else f'r."{name}"'


def _settles_nan(expr: Compare | In) -> bool:
    """Whether the test of a metric leaves numbers alone, or NaN alone."""
    return isinstance(expr, Compare) and expr.field.kind == "metric" and expr.op != "!="


def _chain(parts: list[str], word: str, empty: str) -> str:
    """The parts as a balanced tree: SQLite bounds the depth of an expression, not its size."""
    if not parts:
        return empty
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return f"({_chain(parts[:half], word, empty)} {word} {_chain(parts[half:], word, empty)})"
