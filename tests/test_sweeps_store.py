"""The result store: what it keeps, and what it says when the disk holds something else."""

from __future__ import annotations

import re
import sqlite3

import numpy as np
import pytest

from qtaml_codesign.errors import StoreError
from qtaml_codesign.sweeps.lenders import lender
from qtaml_codesign.sweeps.store import APPLICATION_ID, SCHEMA_VERSION, ResultStore
from tests.one_trial import one_trial


def one(correct=7, samples=10, flipped=3, expected=2.5, seconds=0.25):
    return one_trial(correct, samples, flipped=flipped, expected=expected, seconds=seconds)


def test_everything_comes_back_exactly(tmp_path):
    rows = [one(3, expected=0.1 + 0.2), one(9, flipped=0, expected=1e-300), one(0)]
    with ResultStore(tmp_path / "r.sqlite") as store:
        store.add_trials([("a", 4, rows), ("b", 0, [one(1)])])
        store.add_plans({"request": '{"depth":1}'})
    with ResultStore(tmp_path / "r.sqlite") as store:
        assert store.trials("a") == {4: rows[0], 5: rows[1], 6: rows[2]}
        assert store.trials("b") == {0: one(1)}
        assert store.trials("c") == {}
        assert store.plans() == store.plans(["request", "other"]) == {"request": '{"depth":1}'}
        assert store.count_trials() == 4


def test_a_trial_that_is_there_stays_as_it_is(tmp_path):
    with ResultStore(tmp_path / "r.sqlite") as store:
        store.add_trials([("a", 0, [one(3)])])
        store.add_trials([("a", 0, [one(8), one(9)])])
        assert [counts.score for counts in store.trials("a").values()] == [3, 9]


def test_memory_store_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ResultStore(None) as store:
        store.add_trials([("a", 0, [one()])])
        assert store.count_trials() == 1
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_cannot_be_true_is_stored_not_even_in_part(tmp_path):
    class Odd:
        trials, samples, plain_score, bits_stored, bits_exposed = 1, 10, 11, 80, 60
        bits_flipped, expected_flips, seconds, score_by_group = 3, 2.5, 0.1, np.ones(10, int)

    with ResultStore(tmp_path / "r.sqlite") as store:
        with pytest.raises(StoreError, match="cannot be true"):
            store.add_trials([("a", 0, [one(), Odd()])])
        assert store.count_trials() == 0
        store.add_trials([("a", 0, [one()])])
        assert store.count_trials() == 1


def test_text_file_is_refused_and_kept(tmp_path):
    path = tmp_path / "r.sqlite"
    path.write_text("notes, not a database\n" * 100)
    with pytest.raises(StoreError, match="not a result store") as caught:
        ResultStore(path)
    assert str(path) in str(caught.value)
    assert path.read_text().startswith("notes")


def test_database_of_another_program_is_refused_and_kept(tmp_path):
    path = tmp_path / "r.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE songs(name TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="belongs to another program"):
        ResultStore(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 1, 0])
def test_other_schema_is_refused(tmp_path, version):
    path = tmp_path / "r.sqlite"
    ResultStore(path).close()
    with sqlite3.connect(path) as other:
        assert other.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        other.execute(f"PRAGMA user_version = {version}")
    other.close()
    with pytest.raises(StoreError, match="another version"):
        ResultStore(path)


def filled(path):
    with ResultStore(path) as store:
        store.add_trials([(f"task {index:04d}" * 8, 0, [one()] * 10) for index in range(200)])
    return path.read_bytes()


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
def test_truncated_file_is_reported_and_kept(tmp_path, share):
    path = tmp_path / "r.sqlite"
    whole = filled(path)
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(StoreError, match=r"damaged|not a result store"):
        ResultStore(path)
    assert len(path.read_bytes()) == int(share * len(whole))


def test_overwritten_pages_are_reported(tmp_path):
    path = tmp_path / "r.sqlite"
    whole = bytearray(filled(path))
    whole[8192:12288] = b"\x5a" * 4096
    path.write_bytes(whole)
    with pytest.raises(StoreError, match="damaged"):
        ResultStore(path)


@pytest.mark.parametrize("name", ["missing/r.sqlite", "file/r.sqlite", "folder"])
def test_place_that_cannot_hold_a_file(tmp_path, name):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match="cannot be opened"):
        ResultStore(tmp_path / name)


def test_store_in_use_by_another_process(tmp_path):
    path = tmp_path / "r.sqlite"
    ResultStore(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="in use by another process"):
        ResultStore(path, timeout_s=0.05)
    other.execute("ROLLBACK")
    with ResultStore(path, timeout_s=0.05) as store:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="in use"):
            store.add_trials([("a", 0, [one()])])
        other.execute("ROLLBACK")
        store.add_trials([("a", 0, [one()])])
        assert store.count_trials() == 1
    other.close()


def test_two_writers_take_turns(tmp_path):
    with ResultStore(tmp_path / "r.sqlite") as first, ResultStore(tmp_path / "r.sqlite") as second:
        first.add_trials([("a", 0, [one(1)])])
        second.add_trials([("a", 0, [one(2)]), ("a", 1, [one(3)])])
        assert [counts.score for counts in first.trials("a").values()] == [1, 3]


def changed(path, statement):
    """Change a store by hand, as with the sqlite3 shell."""
    with sqlite3.connect(path) as other:
        assert other.execute(statement).rowcount == 1
    other.close()


TASK, PLAN, TEXT = "a" * 64, "b" * 64, '{"depth": 1}'
BY_HAND = {
    "a count": "UPDATE trial SET score = 8 WHERE trial = 1",
    "groups": "UPDATE trial SET score_by_group = x'789c03000000000001' WHERE trial = 1",
    "a float": "UPDATE trial SET expected_flips = expected_flips + 1e-9 WHERE trial = 1",
    "a time": "UPDATE trial SET seconds = 0 WHERE trial = 1",
    "another trial": "UPDATE trial SET trial = 9 WHERE trial = 1",
    "the digest": "UPDATE trial SET digest = x'00' WHERE trial = 1",
    "a type": "UPDATE trial SET score_by_group = 'text' WHERE trial = 1",
}


def store_with_rows(path):
    with ResultStore(path) as store:
        store.add_trials([(TASK, 0, [one(3), one(7)])])
        store.add_tasks({TASK: TEXT})
        store.add_plans({PLAN: TEXT})


@pytest.mark.parametrize("change", BY_HAND)
def test_a_trial_changed_by_hand_is_found_and_the_advice_works(tmp_path, change):
    path = tmp_path / "r.sqlite"
    store_with_rows(path)
    changed(path, BY_HAND[change])
    with ResultStore(path) as store, pytest.raises(StoreError, match="not as it was written") as caught:
        store.trials(TASK)
    text = str(caught.value)
    assert f"task_id = '{TASK}' AND trial = {9 if 'another' in change else 1}" in text
    changed(path, re.search(r'"(DELETE .*?)"', text)[1])
    with ResultStore(path) as store:
        assert store.trials(TASK) == {0: one(3)}


@pytest.mark.parametrize(("table", "ask"), [
    ("plan", lambda store: store.plans([PLAN])), ("plan", lambda store: store.plans()),
    ("task", lambda store: store.add_tasks({TASK: TEXT})),
])
def test_a_plan_or_task_changed_by_hand_is_found(tmp_path, table, ask):
    path = tmp_path / "r.sqlite"
    store_with_rows(path)
    with ResultStore(path) as store:
        ask(store)
    changed(path, f"UPDATE {table} SET json = replace(json, '1', '2')")
    with ResultStore(path) as store, pytest.raises(StoreError, match=f"table {table}") as caught:
        ask(store)
    assert (TASK if table == "task" else PLAN) in str(caught.value)


def test_a_lender_lends_and_is_opened_once_when_asked(tmp_path, monkeypatch):
    path = tmp_path / "r.sqlite"
    store_with_rows(path)
    opened, said, connect = [], [], sqlite3.connect

    def watched(name, **more):
        opened.append(name)
        database = connect(name, **more)
        database.set_trace_callback(said.append)
        return database

    monkeypatch.setattr(sqlite3, "connect", watched)
    other = lender(tmp_path / "r.sqlite")
    assert opened == []
    with ResultStore(None, [other]) as store:
        assert store.trials(TASK) == store.trials(TASK) == {0: one(3), 1: one(7)}
        assert (store.plans([PLAN]), store.borrowed_trials, store.notes) == ({PLAN: TEXT}, 2, ())
    assert len(opened) == 2, "this store, and the lender once"
    assert sum("quick_check" in statement for statement in said) == 1, "the lender is not checked in full"


def locked(path):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    return other


@pytest.mark.parametrize(("spoil", "why"), [
    (locked, "in use by another process"),
    (lambda path: path.write_bytes(path.read_bytes()[:100] + b"\x5a" * 60000), "damaged"),
    (lambda path: path.unlink(), "cannot be opened"),
    (lambda path: changed(path, BY_HAND["a count"]), "not as it was written"),
])
@pytest.mark.parametrize("when", ["at first", "in mid-run"])
def test_a_lender_that_fails_is_left_alone_with_a_note(tmp_path, spoil, why, when):
    path = tmp_path / "r.sqlite"
    store_with_rows(path)
    other = lender(path)
    other.timeout_s = 0.05
    with ResultStore(None, [other]) as store:
        if when == "in mid-run":
            assert store.plans([PLAN]) == {PLAN: TEXT}
            other.close()
        held = spoil(path)
        assert store.trials(TASK) == store.trials(TASK) == {}
        store.add_trials([(TASK, 0, [one(5)])])
        assert store.trials(TASK) == {0: one(5)}
        assert len(store.notes) == 1
        assert all(part in store.notes[0] for part in (why, "not reused", tmp_path.name))
    if held is not None:
        getattr(held, "close", int)()


def test_a_lender_of_another_version_is_left_alone_with_a_note(tmp_path):
    path = tmp_path / "r.sqlite"
    store_with_rows(path)
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 1")
    other.close()
    with ResultStore(None, [lender(path)]) as store:
        assert store.trials(TASK) == {}
        assert "another version" in store.notes[0]
