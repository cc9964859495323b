"""The only part that speaks SQL: both databases, their schemas, migrations and seed rules."""
