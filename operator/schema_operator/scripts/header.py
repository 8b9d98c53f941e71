"""What a script's header has said, see `directives`; apart from them, because most scripts have none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from schema_operator.api.request import TransactionMode
    from schema_operator.scripts.script import Source

MARK: Final = "schema-operator:"


class Header(msgspec.Struct, frozen=True):
    """What the header of a script says."""

    transaction: TransactionMode | None = None
    description: str | None = None
    requires: tuple[str, ...] = ()
    """Versions that must be applied before."""
    allow: tuple[str, ...] = ()
    """Acknowledgements, of `Acknowledgement`."""
    copy_data: bool = False
    """Whether rows may follow COPY … FROM STDIN."""
    restore: bool = True
    """Whether what its version has destroyed is put back after a down script."""

    def applied_to(self, source: Source, mode: TransactionMode | None = None) -> Source:
        """Give the source as header and format (`mode`) want it run; the header, being nearer, counts first."""
        transaction = self.transaction or mode or source.transaction
        if transaction is source.transaction and not self.copy_data and self.restore:
            return source
        return replace(source, transaction=transaction, copy_data_allowed=self.copy_data, restores=self.restore)


NO_HEADER: Final = Header()
