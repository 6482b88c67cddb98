"""What this process does, in the text form that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clew.api.calls import VIEWER, Answer, Call, Endpoints
from clew.measuring import CALL_SECONDS, Measure

metrics = Endpoints("metrics")

MEDIA_TYPE = "text/plain"


@metrics.add(
    "GET", "/metrics", role=VIEWER, media=MEDIA_TYPE, about="What this process does, counted: for Prometheus."
)
async def show_metrics(call: Call) -> Answer:
    from prometheus_client.exposition import generate_latest  # 150 ms, and not everybody asks

    return Answer(content=generate_latest(_Collected(list(call.house.measures.all()))))


class _Collected:
    """A registry, as far as writing it down needs one."""

    def __init__(self, measures: list[Measure]) -> None:
        self._measures = measures

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        kinds: dict[str, Any] = {
            "counter": CounterMetricFamily,
            "gauge": GaugeMetricFamily,
            "histogram": HistogramMetricFamily,
        }
        for one in self._measures:
            family = kinds[one.kind](one.name, one.about, labels=one.labels)
            for labels, value in one.values.items():
                if one.kind == "histogram":
                    family.add_metric(labels, list(_buckets(value[0])), value[1])
                else:
                    family.add_metric(labels, value)
            yield family


def _buckets(counts: list[int]) -> Iterator[tuple[str, float]]:
    before = 0
    for end, count in zip((*CALL_SECONDS, float("inf")), counts, strict=True):
        before += count
        yield ("+Inf" if end == float("inf") else str(end)), before
