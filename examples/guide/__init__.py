"""The samples of the guide, rebuilt on Admit: one module per strategy, under the guide's routes and words.

Run one: `uvicorn --factory examples.guide.jwt_login:application`. `docs/guide.md` says what differs and why.
"""
