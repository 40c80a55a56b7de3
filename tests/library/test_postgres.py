"""What only PostgreSQL has: its own vector index, its own ways to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import sqlalchemy as sa

from lingula.errors import LingulaError
from lingula.library import Entry, Library, NumpyExact
from lingula.library.database_url import database_at
from lingula.library.postgres import OTHER_WAYS, Postgres
from lingula.study import Study

Execute = Callable[[str], None]


@pytest.fixture
def execute(url: str) -> Iterator[Execute]:
    engine = database_at(url).connect()

    def run(statement: str) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)

    yield run
    engine.dispose()


@pytest.fixture
def crowd(url: str) -> tuple[np.ndarray, Library]:
    """600 studies around 30 centres, twenty of them alike."""
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(30, 1, 16)) + 0.6 * rng.normal(size=(30, 20, 16))
    vectors = vectors.reshape(-1, 16)
    vectors[100:120] = vectors[100]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    library = Library.create(url, model="m", vocabulary="v", labels=(), dimension=16)
    library.add_many([Entry(Study(f"S{at:04d}"), {"joint": vector}) for at, vector in enumerate(vectors)])
    return vectors, library


@pytest.mark.parametrize(("exact", "least"), [(10_000, 1.0), (0, 0.99)])
def test_held_against_exact_search(crowd: tuple[np.ndarray, Library], url: str, exact: int, least: float) -> None:
    """By scanning, the very same answers; by the HNSW index nearly all, and never a wrong score or order."""
    vectors, library = crowd
    library.close()
    database = database_at(url)
    assert isinstance(database, Postgres)
    database.exact = exact
    reference, ids = NumpyExact(vectors), [f"S{at:04d}" for at in range(len(vectors))]
    agreed = 0
    with Library.open_in(database) as opened:
        for query in vectors[::20]:
            scores, rows = reference.search(query[None], 10)
            expected = [(ids[row], score) for score, row in zip(scores[0].tolist(), rows[0], strict=True)]
            found = opened.nearest(query, k=10)
            assert [(-score, study_id) for study_id, score in found] == sorted((-s, i) for i, s in found)
            assert all(score == pytest.approx(float(vectors[int(i[1:])] @ query), abs=1e-5) for i, score in found)
            agreed += len(set(found) & set(expected))
            if exact:
                assert list(found) == expected
        assert agreed / (10 * len(vectors[::20])) >= least
        some = ids[100:130]
        inside = opened.nearest(vectors[100], k=25, within=some, exclude=["S0101"])
        assert [study_id for study_id, _ in inside[:19]] == [i for i in ids[100:120] if i != "S0101"]
        assert set(dict(inside)) <= set(some)


def test_the_index_is_used(crowd: tuple[np.ndarray, Library], url: str) -> None:
    _, library = crowd
    library.close()
    database = database_at(url)
    engine = database.connect()
    order = "EXPLAIN SELECT study_id FROM embedding WHERE mode = 'joint' ORDER BY (vector::vector(16)) <#> '[{}]'"
    with engine.begin() as connection:
        for other_way in OTHER_WAYS:
            connection.exec_driver_sql(f"SET LOCAL {other_way} = off")
        plan = connection.exec_driver_sql(order.format(",".join("1" * 16)) + " LIMIT 5").scalars().all()
    engine.dispose()
    assert "embedding_joint_hnsw" in " ".join(plan)


def test_a_server_that_is_not_there(url: str) -> None:
    for other in (url.replace("/library", "/nowhere"), "postgresql://nobody@127.0.0.1:1/library"):
        with pytest.raises(LingulaError) as refused:
            Library.open(other)
        assert refused.value.code == "library_missing"
    with pytest.raises(LingulaError) as refused:
        Library.open(url)  # an empty database
    assert refused.value.code == "library_missing"
    shown = database_at("postgresql://reader:secret@host/db").place
    assert "secret" not in shown


@pytest.mark.parametrize(("state", "code"), [
    ("disk_full", "disk_full"), ("deadlock_detected", "bad_request"), ("read_only_sql_transaction", "bad_request"),
    ("data_corrupted", "index_corrupt"), ("admin_shutdown", "library_missing"),
])  # fmt: skip
def test_what_the_server_reports(
    url: str, execute: Execute, specimen: Callable[[int], Entry], state: str, code: str
) -> None:
    """A trigger fails as the server itself would; nothing of the batch is stored, and the library goes on."""
    entry = specimen(1)
    with Library.create(url, model="m", vocabulary="v", labels=entry.labels or (), dimension=16) as library:
        execute(f"CREATE FUNCTION fail() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION {state}; END $$ LANGUAGE plpgsql")
        execute("CREATE TRIGGER failing BEFORE INSERT ON embedding FOR EACH ROW EXECUTE FUNCTION fail()")
        with pytest.raises(LingulaError) as failed:
            library.add(entry.study, entry.embeddings, entry.labels)
        assert failed.value.code == code
        assert len(library) == 0
        execute("DROP TRIGGER failing ON embedding")
        assert library.add(entry.study, entry.embeddings, entry.labels) == "added"
        assert library.verify() == ()


def test_a_session_waits_for_the_disk(url: str) -> None:
    engine = sa.create_engine(database_at(url).url)  # type: ignore[attr-defined]
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {engine.url.database} SET synchronous_commit = off")
    engine.dispose()
    engine = database_at(url).connect()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
    engine.dispose()
