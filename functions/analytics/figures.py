"""What rows of counters add up to, and what their tokens cost elsewhere; integers until they are shown."""

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal

from msgspec import Struct

from llm_router.accounting.latencies import percentile
from llm_router.accounting.prices import ListPrice, PriceBook
from llm_router.accounting.rollups import total
from llm_router.accounting.usage import Rollup
from llm_router.costs import REPORTED_BASELINES, usd
from llm_router.report_responses import CostRow


class Figures(Struct, frozen=True):
    """Sums of some rows."""

    sums: Counter[str]
    tokens: Mapping[str, tuple[int, int]]
    """Input and output tokens of every UTC day that had any, which is the day whose prices they have."""

    @classmethod
    def of(cls, rows: Iterable[Rollup]) -> "Figures":
        """Add rows up."""
        rows = list(rows)
        tokens: dict[str, tuple[int, int]] = {}
        for row in rows:
            added = row.counters.get("input_tokens", 0), row.counters.get("output_tokens", 0)
            if any(added):
                before = tokens.get(row.key.day, (0, 0))
                tokens[row.key.day] = before[0] + added[0], before[1] + added[1]
        return cls(total(row.counters for row in rows), tokens)

    @property
    def hits(self) -> int:
        """Requests that the cache answered."""
        return self.sums["exact_hits"] + self.sums["semantic_hits"]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was asked and nothing was paid; rows may hold nothing but reports on older answers."""
        return not any(self.sums[name] for name in ("requests", "shadow_requests", "actual_nano_usd"))

    def latency_ms(self, q: int) -> int | None:
        """Return a percentile of the latencies."""
        return percentile(self.sums, q)


class Baselines:
    """Prices tokens at what other models cost on their day."""

    def __init__(self, model: str, book: PriceBook) -> None:
        self.model = model
        self.models = tuple(dict.fromkeys((model, *REPORTED_BASELINES)))
        self.sources = book.sources
        self._book = book
        self._days: dict[str, dict[str, ListPrice]] = {}

    def price(self, model: str, day: str) -> ListPrice | None:
        """Return a model's price on a UTC day; None where it is unknown."""
        if day not in self._days:
            self._days[day] = self._book.in_force(day)
        return self._days[day].get(model)

    def cost_nano_usd(self, model: str, tokens: Mapping[str, tuple[int, int]]) -> int | None:
        """Return what the tokens of some days cost; None where a price is unknown.

        Rounded half up, once, so that the whole is the same however its parts are grouped.
        """
        exact = Decimal(0)
        for day, (input_tokens, output_tokens) in tokens.items():
            price = self.price(model, day)
            if price is None:
                return None
            exact += price.exact_nano_usd(input_tokens, output_tokens)
        return int(exact.to_integral_value(ROUND_HALF_UP))

    def costs_nano_usd(self, figures: Figures) -> dict[str, int | None]:
        """Return what the tokens of some requests cost with every model, the configured one first."""
        return {model: self.cost_nano_usd(model, figures.tokens) for model in self.models}

    def cost_row(self, name: str, figures: Figures) -> CostRow:
        """Show what some requests used and cost, beside the configured model."""
        return cost_row(name, figures, self.cost_nano_usd(self.model, figures.tokens))


def cost_row(name: str, figures: Figures, baseline_nano_usd: int | None) -> CostRow:
    """Show what some requests used and cost."""
    sums = figures.sums
    saved_nano_usd = None if baseline_nano_usd is None else baseline_nano_usd - sums["actual_nano_usd"]
    return CostRow(
        name=name,
        requests=sums["requests"],
        cache_hits=figures.hits,
        input_tokens=sums["input_tokens"],
        output_tokens=sums["output_tokens"],
        busy_seconds=sums["busy_ms"] / 1000,
        actual_cost=usd(sums["actual_nano_usd"]),
        actual_nano_usd=sums["actual_nano_usd"],
        baseline_cost=known_usd(baseline_nano_usd),
        baseline_nano_usd=baseline_nano_usd,
        net_savings=known_usd(saved_nano_usd),
        net_savings_nano_usd=saved_nano_usd,
    )


def known_usd(nano: int | None) -> float | None:
    """Return nano-dollars as dollars, for showing; None stays unknown."""
    return None if nano is None else usd(nano)


def percent(part: int, whole: int) -> float | None:
    """Return a share in percent; None of nothing."""
    return round(100 * part / whole, 2) if whole else None


def saved_percent(saved_nano_usd: int | None, baseline_nano_usd: int | None) -> float | None:
    """Return what was saved in percent, rounded down, so that less than all is never 100; None where it is unknown."""
    if saved_nano_usd is None or not baseline_nano_usd:
        return None
    return 100 * 100 * saved_nano_usd // baseline_nano_usd / 100
