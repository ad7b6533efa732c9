"""An iteration: what it does, in which stages, how long it takes, and what it trains on.

The stages' work is in `workers`; here are their state, plan and data. Read `profiles` first, then
`iterations`.
"""
