"""An index from a library beside the exact search, over large registries: time, memory, and what it misses.

    OPENBLAS_NUM_THREADS=1 python models/likeness/indexes.py exact usearch hnswlib faiss [--templates 200000]

Needs the libraries that it is told to measure: `pip install usearch hnswlib faiss-cpu`, in an environment of its own
beside the package. Templates are made up, spread as SFace spreads strangers' (`bench.py`); a query is a template moved
to a given cosine from itself, in a direction of the same spread. Of the queries whose nearest template is the one that
they were made of, it counts those for which the index names it. The cosines are the registry's threshold for that many
templates, where a match has a probability of 0.5, and lower ones. Each index is built in a process of its own, by one
thread; times are CPU time of that process, memory is what its resident memory grew by, the templates themselves
left out. Building a graph over a million takes from ten minutes to an hour.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from bench import SPREAD, cost_ms, faces, resident_mb

from guardrail.checks.likeness import threshold

QUERIES = 1_000
LOWER = (0.45, 0.55, 0.65)
NEAREST = 8  # templates that an index is asked for
# Of the graphs: neighbours of a node, candidates when building, candidates when searching.
LINKS, BUILDING, SEARCHING = 32, 128, (64, 256)
# Of the lists: one for each so many templates, and how many of them are read.
PER_LIST, PROBED = 256, (16, 64)

Search = Callable[[np.ndarray], object]
Named = Callable[[np.ndarray], "set[int]"]


def exact(rows: np.ndarray) -> list[tuple[str, Named]]:
    """What `guardrail.checks.likeness.best_match` does: every template, a float32 product."""
    return [("every template", lambda query: {int(np.vecdot(rows, query).argmax())})]


def usearch(rows: np.ndarray) -> list[tuple[str, Named]]:
    from usearch.index import Index

    index = Index(ndim=rows.shape[1], metric="cos", dtype="f32", connectivity=LINKS, expansion_add=BUILDING)
    index.add(np.arange(len(rows)), rows, threads=1)

    def search(candidates: int, query: np.ndarray) -> set[int]:
        index.expansion_search = candidates
        return set(map(int, index.search(query, NEAREST).keys))

    return [(f"{candidates} candidates", partial(search, candidates)) for candidates in SEARCHING]


def hnswlib(rows: np.ndarray) -> list[tuple[str, Named]]:
    import hnswlib as library

    index = library.Index(space="cosine", dim=rows.shape[1])
    index.init_index(max_elements=len(rows), M=LINKS, ef_construction=BUILDING)
    index.add_items(rows, num_threads=1)

    def search(candidates: int, query: np.ndarray) -> set[int]:
        index.set_ef(candidates)
        return set(map(int, index.knn_query(query, NEAREST, num_threads=1)[0][0]))

    return [(f"{candidates} candidates", partial(search, candidates)) for candidates in SEARCHING]


def faiss(rows: np.ndarray) -> list[tuple[str, Named]]:
    import faiss as library

    library.omp_set_num_threads(1)
    lists = max(1, len(rows) // PER_LIST)
    index = library.IndexIVFFlat(library.IndexFlatIP(rows.shape[1]), rows.shape[1], lists, library.METRIC_INNER_PRODUCT)
    index.train(rows[: 50 * lists])
    index.add(rows)

    def search(probed: int, query: np.ndarray) -> set[int]:
        index.nprobe = probed
        return set(map(int, index.search(query[None], NEAREST)[1][0]))

    return [(f"{probed} of {lists} lists", partial(search, probed)) for probed in PROBED]


LIBRARIES = {build.__name__: build for build in (exact, usearch, hnswlib, faiss)}


def queries(rows: np.ndarray, cosine: float) -> list[tuple[int, np.ndarray]]:
    """Templates by their row, each with what lies at `cosine` from it and nearer to no other template."""
    chance, made = np.random.default_rng(1), []
    for at in chance.integers(0, len(rows), QUERIES):
        across = chance.normal(size=rows.shape[1]) * SPREAD
        across -= (across @ rows[at]) * rows[at]
        across /= np.linalg.norm(across)
        made.append((int(at), (cosine * rows[at] + np.sqrt(1 - cosine**2) * across).astype(np.float32)))
    # A block of templates at a time: a million times a thousand cosines are four gigabytes.
    together = np.array([query for _, query in made])
    nearest, best = np.full(QUERIES, -1), np.full(QUERIES, -2.0, np.float32)
    for start in range(0, len(rows), 50_000):
        cosines = rows[start : start + 50_000] @ together.T
        at, most = cosines.argmax(axis=0) + start, cosines.max(axis=0)
        nearest, best = np.where(most > best, at, nearest), np.maximum(most, best)
    return [(at, query) for (at, query), found in zip(made, nearest, strict=True) if at == found]


def measure(name: str, count: int) -> None:
    rows = faces(count)
    cosines = (*LOWER, round(threshold(count), 3))
    asked = {cosine: queries(rows, cosine) for cosine in cosines}
    before, began = resident_mb(), time.process_time()
    searches = LIBRARIES[name](rows)
    built, grown = time.process_time() - began, resident_mb() - before
    print(f"{name}, {count:,} templates: built in {built:.1f} s of CPU, {grown:.0f} MB more", flush=True)
    for told, search in searches:
        some = asked[cosines[-1]][:50]
        took = cost_ms(lambda: [search(query) for _, query in some], 5) / len(some)  # noqa: B023
        shares = [
            f"{sum(at in search(query) for at, query in made)} of {len(made)} at {cosine}"
            for cosine, made in asked.items()
        ]
        print(f"  {told}: {took:.2f} ms a search, names {', '.join(shares)}", flush=True)


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    told.add_argument("libraries", nargs="+", choices=LIBRARIES)
    told.add_argument("--templates", type=int, nargs="+", default=[200_000, 1_000_000])
    given = told.parse_args()
    for count in given.templates:
        for name in given.libraries:
            process = multiprocessing.get_context("spawn").Process(target=measure, args=(name, count))
            process.start()
            process.join()


if __name__ == "__main__":
    main()
