import csv
import io
from html import escape
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from analytics.documents import MEDIA_TYPES, Document, render
from analytics.figures import Baselines
from analytics.full_costs import LoadedReader
from analytics.reading import Reader
from analytics.reports import Reports
from llm_router.accounting.platform_prices import platform_prices
from llm_router.accounting.prices import ListPrice, price_book
from llm_router.accounting.rollups import usage_event
from llm_router.accounting.usage import UsageRecord
from llm_router.models import CacheTier, JobStatus
from llm_router.savings_responses import AnswerSources, BaselineSavings, PriceUsed, SavingsReport
from tests.builders import make_query, make_usage
from tests.fakes import FakeBoxHours, FakeRollupStore, SettableClock

FREE: dict[str, Any] = {"busy_ms": 0, "actual_nano_usd": 0}
NOTHING: dict[str, Any] = {"input_tokens": 0, "output_tokens": 0}
RECORDS = (
    make_usage("1", actual_nano_usd=200_000),
    make_usage("2", tier=CacheTier.EXACT, **FREE),
    make_usage("3", tier=CacheTier.SEMANTIC, **FREE),
    make_usage("4", joined=True, **FREE),
    make_usage("5", fallback=True, tokens_estimated=True, day="2023-11-13"),
    make_usage("6", status=JobStatus.FAILED, **NOTHING, **FREE),
    make_usage("7", status=JobStatus.CANCELLED, **NOTHING),
    make_usage("shadow#1", arm="shadow", actual_nano_usd=100_000),
)


def savings(*records: UsageRecord, days: int = 2, baseline: str = "gpt-4", **fields: str) -> SavingsReport:
    """Return the report over some requests."""
    store = FakeRollupStore()
    store.add([usage_event(record) for record in records])
    reports = Reports(
        reader=Reader(store, SettableClock()),
        baselines=Baselines(baseline, price_book()),
        loaded=LoadedReader(store, FakeBoxHours(), platform_prices()),
    )
    return reports.savings(make_query(days, **fields))


def table(report: SavingsReport) -> list[dict[str, str]]:
    """Return the rows of the CSV form by their columns, which is read as strictly as it can be."""
    return list(csv.DictReader(io.StringIO(render(report, "text/csv").body, newline=""), strict=True))


class Page(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, document: Document) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self._open: list[str] = []
        self.feed(document.body)
        self.close()
        assert [] == self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag; begin a row, or a cell of it."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        """Check that it is the last one that is open."""
        assert tag == self._open.pop()

    def handle_data(self, data: str) -> None:
        """Add text to a cell."""
        if self._open and self._open[-1] in {"td", "th"}:
            self.rows[-1][-1] += data


def test_answers() -> None:
    """Requests are told apart by what answered them; the first four and those without an answer are all of them."""
    report = savings(*RECORDS)
    answers = report.answers

    assert (
        AnswerSources(exact_hits=1, semantic_hits=1, joined=1, generated=2, without_answer=2, fallback=1, shadow=1)
        == answers
    )
    assert 7 == report.requests
    assert 1 == report.estimated_token_requests


def test_money() -> None:
    """The cost is what was measured, shadows included; beside it is every baseline, with what was saved or not."""
    report = savings(*RECORDS)
    first, *_, last = report.baselines

    # 200,000 + 700 of the fallback + 700 of the cancelled + 100,000 of the shadow
    assert (301_400, 0.0001) == (report.marginal_nano_usd, report.shadow_cost)
    assert (
        BaselineSavings(  # five answers of 10 tokens in and 20 out: 5 x (10 x 30,000 + 20 x 60,000)
            model="gpt-4",
            cost=0.0075,
            cost_nano_usd=7_500_000,
            net_savings=0.0071986,
            net_savings_nano_usd=7_198_600,
            savings_percentage=95.98,
            outcome="saved",
        )
        == first
    )
    assert (
        BaselineSavings(  # 5 x (10 x 150 + 20 x 600)
            model="gpt-4o-mini",
            cost=0.0000675,
            cost_nano_usd=67_500,
            net_savings=-0.0002339,
            net_savings_nano_usd=-233_900,
            savings_percentage=-346.52,
            outcome="cost more",
        )
        == last
    )


def test_outcomes_without_a_difference() -> None:
    """Nothing asked and nothing paid is no difference; a day with tokens and no price is unknown."""
    unknown = savings(make_usage(), baseline="gpt-5.6-luna")

    assert ["no difference"] * 4 == [each.outcome for each in savings().baselines]
    assert ["unknown", "saved"] == [each.outcome for each in unknown.baselines[:2]]
    assert "What gpt-5.6-luna would have cost is unknown." in render(unknown, "text/html").body
    assert [("0.000000000", "0.000000000"), ("", ""), ("", "")] == [
        (row["gpt-5.6-luna baseline_usd"], row["gpt-5.6-luna net_savings_usd"]) for row in table(unknown)
    ]


def test_prices_have_sources() -> None:
    """Every list price that was used is shown with where and when it was read."""
    gpt_4, *others = savings(*RECORDS).prices
    price = price_book().price("gpt-4", "2023-11-14")

    assert isinstance(price, ListPrice)
    source = price_book().sources[price.source]
    assert (
        PriceUsed(
            model="gpt-4",
            effective_from=price.effective_from,
            input_usd_per_million_tokens=30.0,
            output_usd_per_million_tokens=60.0,
            source=source.url,
            retrieved=source.retrieved,
        )
        == gpt_4
    )
    assert ["gpt-3.5-turbo", "gpt-4o", "gpt-4o-mini"] == [each.model for each in others]


def test_json() -> None:
    """The JSON form is the report itself."""
    report = savings(*RECORDS)
    document = render(report, "application/json")

    assert report == msgspec.json.decode(document.body, type=SavingsReport)
    assert ("application/json", {"Vary": "Accept"}) == (document.content_type, document.headers)


def test_csv() -> None:
    """The CSV form has a row for each day and one for all; money is exact, and negative where it was lost."""
    report = savings(*RECORDS)
    before, today, total = table(report)

    assert ["2023-11-13", "2023-11-14", "total"] == [before["day"], today["day"], total["day"]]
    assert ("1", "6", "7") == (before["requests"], today["requests"], total["requests"])
    assert ("0.000000700", "0.000300700", "0.000301400") == (
        before["actual_usd"],
        today["actual_usd"],
        total["actual_usd"],
    )
    assert ("0.007198600", "-0.000233900") == (
        total["gpt-4 net_savings_usd"],
        total["gpt-4o-mini net_savings_usd"],
    )
    assert ("UTC", "default") == (total["time_zone"], total["tenant"])


def test_csv_as_a_document() -> None:
    """Lines end as RFC 4180 has it, and a browser saves the file under a name that tells the period."""
    document = render(savings(*RECORDS), "text/csv")

    assert 4 == document.body.count("\r\n") == document.body.count("\n")
    assert "text/csv; charset=utf-8; header=present" == document.content_type
    assert 'attachment; filename="savings-2023-11-13-2023-11-14.csv"' == document.headers["Content-Disposition"]


@pytest.mark.parametrize("name", ["=cmd()", "+1", "-1", "@sum", '"a",b'])
def test_csv_formulas(name: str) -> None:
    """A tenant's name that a spreadsheet would take for a formula is text in it, any other as it is."""
    guarded = name if name.startswith('"') else f"'{name}"

    assert {guarded} == {row["tenant"] for row in table(savings(tenant=name))}


def test_page() -> None:
    """The page has the verdict, and in tables the same figures as the report."""
    report = savings(*RECORDS)
    document = render(report, "text/html")
    rows = Page(document).rows

    assert "0.007198600 USD saved against gpt-4." in document.body
    assert ["gpt-4", "0.007500000", "0.007198600", "95.98 %", "saved"] in rows
    assert ["gpt-4o-mini", "0.000067500", "-0.000233900", "-346.52 %", "cost more"] in rows
    assert ["total", "7", "28.57 %", "150", "39 ms", "0.000301400", "0.007500000", "0.007198600"] in rows
    assert ["from the cache, same meaning", "1"] in rows
    assert all(escape(note) in document.body for note in report.estimates)


def test_page_of_a_loss() -> None:
    """Where the answers cost more than the baseline, the page says so first."""
    loss = savings(make_usage(actual_nano_usd=2_500_000))

    assert "The answers cost 0.001000000 USD more than gpt-4 would have." in render(loss, "text/html").body


def test_page_is_by_itself() -> None:
    """The page has no script, and nothing in it is read from elsewhere or leads there."""
    document = render(savings(*RECORDS), "text/html")
    page = Page(document)

    assert set() == page.tags & {"script", "link", "img", "iframe", "a", "base", "object"}
    assert set() == page.attributes & {"src", "href", "srcset", "onclick", "style"}
    assert "@import" not in document.body
    assert "url(" not in document.body
    assert "default-src 'none'" in document.headers["Content-Security-Policy"]


def test_page_escapes() -> None:
    """A tenant's name is text on the page, whatever it looks like."""
    document = render(savings(tenant="<script>alert(1)</script>&=1"), "text/html")

    assert "script" not in Page(document).tags
    assert "Tenant &lt;script&gt;alert(1)&lt;/script&gt;&amp;=1, days of UTC" in document.body


def test_media_types() -> None:
    """JSON is for who does not care."""
    assert ("application/json", "text/csv", "text/html") == MEDIA_TYPES
