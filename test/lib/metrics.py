"""What GET /metrics says."""

from nuchub import check, equal, http
from prometheus_client.parser import text_string_to_metric_families


def metrics(port):
    """{(name, labels...): value}, as Prometheus would read it."""
    r = http(port, "GET", "/metrics")
    equal(r.status, 200)
    check(r.get("Content-Type").startswith("text/plain; version=0.0.4"), r.get("Content-Type"))
    found = {}
    for family in text_string_to_metric_families(r.body.decode()):
        check(family.documentation, f"{family.name} has no word of help")
        for sample in family.samples:
            key = (sample.name, *sample.labels.values())
            check(key not in found, f"{key} is there twice")
            found[key] = sample.value
    return found
