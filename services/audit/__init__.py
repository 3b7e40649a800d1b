"""The audit ledger: every decision and actuation, once, in a tree that anybody can verify.

Services bring their entries after the commit that did the thing; an entry has its place in the tree with the commit
that keeps it, and never another one. The tree holds no word about a person in clear: what is in it can be forgotten
with that person's key, and the tree still verifies.
"""
