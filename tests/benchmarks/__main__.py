"""`make bench`: what the parts cost. Machines differ and are shared, so compare figures of one run with each other."""

from rich.console import Console
from rich.table import Table

from tests.benchmarks import (
    bench_batch,
    bench_classification,
    bench_cold_start,
    bench_embedding,
    bench_handlers,
    bench_reports,
    bench_soak,
)

SECTIONS = (
    ("Grading a prompt", bench_classification.rows),
    ("Embedding a prompt, one thread", bench_embedding.rows),
    ("Answering from the cache, without the store", bench_handlers.rows),
    ("Cold start: import and initialisation of each function", bench_cold_start.rows),
    ("A batch of 1,000 lines", bench_batch.rows),
    ("Reports on 100,000 requests of 90 days, without the store", bench_reports.rows),
    ("Soak: a box with troubles, workers that are killed", bench_soak.rows),
)


def main() -> None:
    """Print one table per section, each as soon as it is measured."""
    out = Console(width=120)
    for title, rows in SECTIONS:
        table = Table(title=title, show_header=False, title_justify="left")
        for name, value in rows():
            table.add_row(name, value)
        out.print(table)


if __name__ == "__main__":
    main()
