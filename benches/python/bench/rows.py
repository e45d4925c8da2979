"""The rows of the table: what is measured, on whom, and what the project holds itself to.

A row measures one server and gives one number of its unit; whether more or less of it is better is said once. Each is
measured on fresh data, alternately, in as many rounds as the form asks for.
"""

import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional

from .servers import Server, Vellum, program, qido, store, stow, target, wado


@dataclass
class Row:
    name: str
    unit: str
    # Each measures on a server that was started for it (where `alone`: without one).
    measure: Callable
    target: str
    more_is_better: bool = True
    peer: bool = True
    quick: bool = True
    # Which of the machine's limits (benches/src/bin/limits.rs) this could reach at most, in the same unit.
    limit: Optional[str] = None
    settings: dict = field(default_factory=dict)
    # What an ordinary program takes for the same, instead of a peer.
    beside: Optional[Callable] = None
    # Measured without a server.
    alone: bool = False
    # Rounds at most: what takes minutes is measured once.
    rounds_max: int = 3


SEEDS = iter(range(1, 1_000_000))


def rate(outcome: dict) -> dict:
    return {"value": outcome["instances_per_s"], "outcome": outcome}


def c_store(**options):
    def measure(server: Server) -> dict:
        return rate(store(server, seed=next(SEEDS), **options))

    return measure


def stow_rs(**options):
    return lambda server: rate(stow(server, seed=next(SEEDS), **options))


def sealed_ct(server: Server, studies: int, study_size: int) -> int:
    seed = next(SEEDS)
    stow(server, seed=seed, connections=4, per_request=10, count=studies * study_size, study_size=study_size)
    server.settle()
    return seed


def study_download(server: Server) -> dict:
    seed = sealed_ct(server, 5, 200)
    asked = {"seed": seed, "studies": 5, "study_size": 200, "in_turn": True}
    wado(server, "study", count=1, **asked)
    outcome = wado(server, "study", count=10, **asked)
    outcome["stored_bytes"] = server.stored_bytes()
    return {"value": outcome["mb_per_s"], "outcome": outcome}


def first_byte(server: Server) -> dict:
    seed = sealed_ct(server, 5, 200)
    outcome = wado(server, "study", count=20, seed=seed, studies=5, study_size=200, in_turn=True)
    return {"value": outcome["first_byte_ms"]["p50"], "outcome": outcome}


def single_instances(server: Server) -> dict:
    seed = sealed_ct(server, 5, 200)
    outcome = wado(server, "instance", connections=4, count=2000, seed=seed, studies=5, study_size=200)
    return {"value": outcome["requests_per_s"], "outcome": outcome}


def many_downloads(server: Server) -> dict:
    seed = sealed_ct(server, 5, 200)
    outcome = wado(server, "study", connections=64, count=64, seed=seed, studies=5, study_size=200, in_turn=True)
    return {"value": outcome["server"]["peak_rss_mib"], "outcome": outcome}


def metadata(server: Server) -> dict:
    seed = next(SEEDS)
    stow(server, seed=seed, connections=4, per_request=10, count=1000, study_size=1000, shape="small")
    server.settle()
    first = wado(server, "metadata", count=1, seed=seed, study_size=1000)
    outcome = wado(server, "metadata", count=100, seed=seed, study_size=1000)
    outcome["first_ms"] = first["latency_ms"]["max"]
    return {"value": max(outcome["latency_ms"]["p99"], outcome["first_ms"]), "outcome": outcome}


def frame(server: Server) -> dict:
    seed = next(SEEDS)
    stow(server, seed=seed, count=1, study_size=1, shape="thousand", prepared=1)
    server.settle()
    outcome = wado(server, "frame", count=200 if isinstance(server, Vellum) else 20, seed=seed, study_size=1, frames=1000)
    return {"value": outcome["latency_ms"]["p99"], "outcome": outcome}


def written_for_each(**options):
    def measure(server: Server) -> dict:
        outcome = store(server, seed=next(SEEDS), **options)
        return {"value": outcome["server"]["disk_written"] / options["count"] / 1000, "outcome": outcome}

    return measure


def busy_memory(server: Server) -> dict:
    outcome = store(server, seed=next(SEEDS), connections=32, count=2000)
    return {"value": outcome["server"]["peak_rss_mib"], "outcome": outcome}


class CtFiles:
    """Files of CT instances, made once and taken in again and again."""

    def __init__(self, studies: int, study_size: int):
        self.studies, self.study_size, self.folder = studies, study_size, None

    def made(self) -> Path:
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(prefix="ct-", dir=target() / "bench-data")
            shape = ["--studies", str(self.studies), "--instances", str(self.study_size)]
            subprocess.run([program("gen"), "ct", *shape, "--to", self.folder.name], check=True, stdout=subprocess.DEVNULL)
            subprocess.run(["sync"], check=True)
        return Path(self.folder.name)

    def taken_in(self, server: Vellum) -> dict:
        seconds = server.take_in(self.made())
        return {"value": seconds, "outcome": {"seconds": seconds}}

    def hashed_and_copied(self) -> float:
        files = sorted(path for path in self.made().rglob("*") if path.is_file())
        copies = Path(tempfile.mkdtemp(prefix="copies-", dir=target() / "bench-data"))
        begin = time.monotonic()
        subprocess.run(["openssl", "dgst", "-sha256", *map(str, files)], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cp", "-r", str(self.made()), str(copies)], check=True)
        subprocess.run(["sync"], check=True)
        seconds = time.monotonic() - begin
        shutil.rmtree(copies)
        return seconds


class LargeCatalog:
    """A catalog filled once; several rows read off it."""

    def __init__(self, instances: int, study_size: int, store: str = "sled"):
        self.instances, self.study_size, self.store, self.outcome = instances, study_size, store, None

    def measured(self) -> dict:
        if self.outcome is None:
            folder = Path(tempfile.mkdtemp(prefix="catalog-", dir=target() / "bench-data"))
            size = ["--instances", str(self.instances), "--study-size", str(self.study_size), "--store", self.store]
            ran = subprocess.run(
                [program("catalog"), *size, "--on", str(folder / "catalog")], check=True, capture_output=True, text=True
            )
            self.outcome = json.loads(ran.stdout)
            shutil.rmtree(folder)
        return self.outcome

    def value(self, of: Callable) -> Callable:
        return lambda: {"value": of(self.measured()), "outcome": self.measured()}


def worst_p99(outcome: dict) -> float:
    return max(latencies["p99"] for latencies in outcome["searches_ms"].values())


def rebuilt(shape: str, studies: int, study_size: int, of: Callable):
    def measure(server: Vellum) -> dict:
        seed = next(SEEDS)
        stow(
            server, seed=seed, connections=4, per_request=10, count=studies * study_size, study_size=study_size, shape=shape
        )
        server.settle()
        # What sealing left in memory is not there after a start.
        server.start_again()
        outcome = {**server.rebuild(), "stored_bytes": server.stored_bytes()}
        return {"value": of(outcome), "outcome": outcome}

    return measure


def started_again(server: Vellum) -> dict:
    seed = next(SEEDS)
    stow(server, seed=seed, connections=4, per_request=50, count=20_000, study_size=1, shape="sr")
    server.settle()
    seconds = server.start_again()
    return {"value": seconds, "outcome": {"seconds": seconds}}


def large_object(by):
    def measure(server: Server) -> dict:
        outcome = by(server, seed=next(SEEDS), count=1, study_size=1, shape="two-gib", prepared=1)
        return {"value": outcome["seconds"], "outcome": outcome}

    return measure


def large_object_memory(by):
    def measure(server: Server) -> dict:
        outcome = by(server, seed=next(SEEDS), count=1, study_size=1, shape="two-gib", prepared=1)
        return {"value": outcome["server"]["peak_rss_mib"], "outcome": outcome}

    return measure


def large_import_memory(server: Vellum) -> dict:
    with tempfile.TemporaryDirectory(prefix="large-", dir=target() / "bench-data") as folder:
        subprocess.run([program("gen"), "two-gib", "--to", folder], check=True, stdout=subprocess.DEVNULL)
        peak = server.memory_to_take_in(Path(folder))
    return {"value": peak, "outcome": {"peak_rss_mib": peak}}


QUERIES = ["uid", "patient", "accession", "dates", "prefix", "part"]


def queries(studies: int):
    """One archive for all the queries: filling it is what takes the time."""

    def measure(server: Server) -> dict:
        seed = next(SEEDS)
        stow(server, seed=seed, connections=4, per_request=50, count=studies, study_size=1, shape="sr")
        server.settle()
        values = {}
        for by in QUERIES:
            count = 200 if isinstance(server, Vellum) else 20
            values[by] = qido(server, by, count=count, seed=seed, studies=studies, study_size=1, modality="SR")
        worst = max(values.values(), key=lambda outcome: outcome["latency_ms"]["p99"])
        return {"value": worst["latency_ms"]["p99"], "outcome": values}

    return measure


def catalog_rows(catalog: LargeCatalog) -> list:
    name = f"catalog of {catalog.instances:,} instances in studies of 500, {catalog.store}"

    def row(what: str, unit: str, of: Callable, wanted: str, **more) -> Row:
        return Row(f"{name}, {what}", unit, catalog.value(of), wanted, alone=True, rounds_max=1, **more)

    rate = "instances_per_s_in_the_last_tenth"
    return [
        row("applied in the last tenth", "/s", lambda found: found["filled"][rate], "≥ 30,000"),
        row("disk an instance", "B", lambda found: found["disk_bytes_per_instance"], "≤ 204", more_is_better=False),
        row("opened again", "s", lambda found: found["reopened_s"], "≤ 10 s", more_is_better=False),
    ]


def study_rows(catalog: LargeCatalog) -> list:
    name = f"catalog of {catalog.instances:,} studies of one instance, {catalog.store}"

    def row(what: str, unit: str, of: Callable, wanted: str, **more) -> Row:
        value = catalog.value(of)
        return Row(f"{name}, {what}", unit, value, wanted, alone=True, rounds_max=1, quick=False, more_is_better=False, **more)

    return [
        row("worst search, p99", "ms", worst_p99, "≤ 20 ms"),
        row("opened again", "s", lambda found: found["reopened_s"], "≤ 10 s"),
        row("memory", "MiB", lambda found: found["process"]["peak_rss_mib"], "≤ 1 GiB"),
        row("disk a study", "B", lambda found: found["disk_bytes_per_instance"], "≤ 2,200"),
    ]


def rows(full: bool) -> list:
    burst = 1000 if full else 400
    small = 4000 if full else 1500
    files = CtFiles(20, 100 if full else 25)
    return [
        Row("C-STORE 526 KB, 1 association", "/s", c_store(connections=1, count=burst // 2), "≥ 2 ×"),
        Row(
            "C-STORE 526 KB, 4 associations", "/s", c_store(connections=4, count=burst), "≥ 3 × or ≥ 80 % of the limit",
            limit="append_16_x_526kb_fdatasync_per_s",
        ),
        Row(
            "C-STORE 526 KB, 8 associations", "/s", c_store(connections=8, count=burst), "≥ 3 × or ≥ 80 % of the limit",
            limit="append_16_x_526kb_fdatasync_per_s",
        ),
        Row(
            "C-STORE 526 KB, 4 associations, 3 minutes with sealing", "/s",
            c_store(connections=4, seconds=180, study_size=200), "≥ 1.3 × or ≥ 80 % of the limit", quick=False,
            limit="pipeline_526kb_per_s",
            settings={"VELLUM_SEAL__QUIET": "10s"}, rounds_max=1,
        ),
        Row("C-STORE 8 KB, 4 associations", "/s", c_store(connections=4, count=small, shape="small"), "≥ 4 ×"),
        Row("C-STORE 8 KB, 32 associations", "/s", c_store(connections=32, count=small * 2, shape="small"), "≥ 8 ×"),
        Row(
            "C-STORE 8 KB, 4 associations, written for each", "KB",
            written_for_each(connections=4, count=small, shape="small"), "≤ 40 KB", more_is_better=False,
        ),
        Row("C-STORE 526 KB, 32 associations, memory", "MiB", busy_memory, "≤ 400 MiB", more_is_better=False, peer=False),
        Row(
            f"import of {20 * files.study_size:,} × 526 KB, beside openssl, cp and sync", "s", files.taken_in, "≤ 1.5 ×",
            more_is_better=False, beside=files.hashed_and_copied,
        ),
        Row(
            "C-STORE 2 GiB multi-frame", "s", large_object(store), "≤ 12 s", more_is_better=False, quick=False
        ),
        Row(
            "C-STORE 2 GiB multi-frame, memory", "MiB", large_object_memory(store), "≤ 200 MiB", more_is_better=False, quick=False
        ),
        Row(
            "STOW-RS 2 GiB multi-frame, memory", "MiB", large_object_memory(stow), "≤ 200 MiB", more_is_better=False,
            quick=False, peer=False,
        ),
        Row(
            "import of a 2 GiB multi-frame, memory", "MiB", large_import_memory, "≤ 200 MiB", more_is_better=False,
            quick=False, peer=False,
        ),
        Row("STOW-RS 526 KB, 4 connections, 10 a request", "/s", stow_rs(connections=4, per_request=10, count=burst), "≥ 2.5 ×"),
        Row("STOW-RS 8 KB, 4 connections, 1 a request", "/s", stow_rs(connections=4, count=small, shape="small"), "≥ 4 ×"),
        Row("WADO-RS study of 200 × 526 KB", "MB/s", study_download, "≥ 0.8 ×"),
        Row("WADO-RS study of 200 × 526 KB, first byte", "ms", first_byte, "≤ 20 ms", more_is_better=False),
        Row("WADO-RS single instances, 4 connections", "/s", single_instances, "≥ 1.3 ×"),
        Row("64 study downloads at once, memory", "MiB", many_downloads, "≤ 400 MiB", more_is_better=False, quick=False, peer=False),
        Row("metadata of a series of 1,000, p99 and first", "ms", metadata, "≤ 50 ms", more_is_better=False),
        Row("one frame of 1,000, p99", "ms", frame, "≤ 10 ms", more_is_better=False),
        Row(
            f"QIDO-RS, {'100,000' if full else '5,000'} studies, worst p99", "ms", queries(100_000 if full else 5000),
            "≤ 10 ms", more_is_better=False, rounds_max=1,
        ),
        *catalog_rows(LargeCatalog(10_000_000 if full else 1_000_000, 500)),
        *catalog_rows(LargeCatalog(10_000_000 if full else 1_000_000, 500, "redb")),
        *study_rows(LargeCatalog(1_000_000, 1)),
        *study_rows(LargeCatalog(1_000_000, 1, "redb")),
        Row(
            "rebuild of 20,000 instances of 8 KB", "/s",
            rebuilt("small", 40, 500, lambda found: found["versions"] / found["seconds"]), "≥ 50,000", quick=False, peer=False,
        ),
        Row(
            "rebuild of 10,000 studies of one instance", "/s",
            rebuilt("sr", 10_000, 1, lambda found: found["versions"] / found["seconds"]), "≥ 1,112", quick=False, peer=False,
            rounds_max=1,
        ),
        Row(
            "rebuild of CT studies, bytes read", "%",
            rebuilt("ct", 4, 250, lambda found: 100 * found["bytes"] / found["stored_bytes"]), "< 2 %",
            more_is_better=False, quick=False, peer=False,
        ),
        Row(
            "start with 20,000 studies to the first answer", "s", started_again, "≤ 10 s", more_is_better=False, quick=False,
            peer=False,
        ),
    ]
