"""What the operator makes of a database in which a person went back with SQL alone."""

from __future__ import annotations

import pytest

from support.operator import Shop, conditions, message

pytestmark = pytest.mark.cluster

FIRST = {
    "1.0.0_item.up.sql": "CREATE TABLE item (id int PRIMARY KEY);",
    "1.0.0_item.down.sql": "DROP TABLE item;",
    "1.1.0_name.up.sql": "ALTER TABLE item ADD COLUMN name text;",
    "1.1.0_name.down.sql": "ALTER TABLE item DROP COLUMN name;",
}
LATER = {"1.2.0_price.up.sql": "CREATE TABLE price (item int);", "1.2.0_price.down.sql": "DROP TABLE price;"}


def test_what_was_rolled_back_by_hand_is_shown_and_stays_so_until_the_spec_is_changed(shop: Shop) -> None:
    shop.config_map("scripts", FIRST)
    shop.migrate(scripts={"configMaps": [{"name": "scripts"}]})
    assert conditions(shop.settled())["Ready"] == "True Applied"

    shop.query("CALL schema_operator.emergency_rollback('1.0.0')")
    assert shop.columns("item") == {"id"}

    # The same spec, and yet a run: other content under the same name.
    shop.config_map("scripts", FIRST | LATER)
    status = shop.until(lambda found: conditions(found["status"]).get("Ready") == "False RolledBackByHand")
    assert (status["version"], conditions(status)["Stalled"]) == ("1.0.0", "True RolledBackByHand")
    for text in ("1.1.0", "owner via", "spec"):
        assert text in message(status)
    assert (shop.columns("item"), shop.columns("price")) == ({"id"}, set())

    shop.migrate(scripts={"configMaps": [{"name": "scripts"}]}, version="1.0.0")
    status = shop.settled()
    assert (status["version"], conditions(status)["Ready"]) == ("1.0.0", "True Applied")

    shop.migrate(scripts={"configMaps": [{"name": "scripts"}]}, version="1.2.0")
    status = shop.settled()
    assert (status["version"], conditions(status)["Ready"]) == ("1.2.0", "True Applied")
    assert shop.columns("item") == {"id", "name"}
    assert shop.versions() == ["1.0.0", "1.1.0", "1.1.0-rollback", "1.1.0", "1.2.0"]
