"""How a database comes to `store.tables`, one step per file of `versions`, run by Alembic. A released step stays."""
