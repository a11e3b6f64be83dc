"""Everything that touches MindsDB: its settings, its storage, patches of it, its workers and its task queue."""
