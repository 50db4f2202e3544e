"""Words. The database takes no word that is "poison", and none twice."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "words",
        sa.Column("word_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("uses", sa.BigInteger, nullable=False),
        sa.CheckConstraint("text <> 'poison'", name="no_poison"),
    )
