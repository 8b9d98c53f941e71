"""A whole life of a migration as Flux, Argo CD and others see it: nothing is ever called done before it is."""

from __future__ import annotations

from itertools import groupby

from support import judges, kstatus
from support.operator import Shop, conditions
from support.samples import Samples, sampling

FIRST = {
    "version": "1.0.0",
    "up": "CREATE TABLE product (id int PRIMARY KEY); SELECT pg_sleep(1);",
    "down": "DROP TABLE product;",
}
BAD = {"version": "1.1.0", "up": "SELECT pg_sleep(1); ALTER TABLE prodct ADD COLUMN stock int;"}
GOOD = {
    "version": "1.1.0",
    "up": "ALTER TABLE product ADD COLUMN stock int; SELECT pg_sleep(1);",
    "down": "ALTER TABLE product DROP COLUMN stock; SELECT pg_sleep(1);",
}


def live(shop: Shop) -> Samples:
    with sampling(shop) as samples:
        shop.migrate(FIRST, version="1.0.0")
        assert conditions(shop.settled())["Ready"] == "True Applied"
        shop.migrate(FIRST, BAD, version="1.1.0")
        assert conditions(shop.settled())["Stalled"] == "True ObjectNotFound"
        shop.migrate(FIRST, GOOD, version="1.1.0")
        assert conditions(shop.settled())["Ready"] == "True Applied"
        shop.migrate(FIRST, GOOD, version="1.0.0")
        assert conditions(shop.settled())["Ready"] == "True RolledBack"
        shop.kubectl("delete", "sm", "shop", "--timeout=60s")
    return samples


def test_nobody_ever_reads_the_status_wrongly(shop: Shop) -> None:
    samples = live(shop)
    everything = [*samples.watched, *samples.polled]
    library = [one.status for one in judges.kstatus(everything)]
    assert library == [kstatus.verdict(item) for item in everything]
    assert kstatus.broken_in(samples.watched) == []
    assert [rule for item in samples.polled for rule in kstatus.broken(item)] == []
    health = [one.status for one in judges.argo_health("SchemaMigration", everything)]
    called = {"Current": "Healthy", "InProgress": "Progressing", "Failed": "Degraded", "Terminating": "Progressing"}
    assert health == [called[verdict] for verdict in library]

    assert samples.early == []
    seen = [verdict for verdict, _ in groupby(library[: len(samples.watched)])]
    done = ["InProgress", "Current"]
    assert seen == [*done, "InProgress", "Failed", *done, *done]
    # What the API server makes of a resource that nobody has looked at yet; without it, that would be Current.
    assert samples.watched[0]["status"] == {"observedGeneration": -1}
    # The samples were taken, and the database was asked.
    assert samples.looked > 3
    assert len(samples.polled) > 30
    assert len(samples.watched) > 15
