"""Where records live. No rules in here: queries, schema, migrations, transactions."""
