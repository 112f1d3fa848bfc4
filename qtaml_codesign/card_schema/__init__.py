"""The schema behind `cards`: numbers and their units (`quantities`), fields (`parts`), rules between them (`card`).

`problems` turns whatever breaks the schema into one readable `CardError`.
"""
