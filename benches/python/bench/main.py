"""Runs the rows, prints the table, keeps it."""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from .rows import Row, rows
from .servers import ROOT, Orthanc, Vellum, program, target

README = ROOT / "benches" / "README.md"
RESULTS = ROOT / "benches" / "results.json"
BEGIN, END = "<!-- table: written by scripts/bench -->", "<!-- end of table -->"
RED, PLAIN = "\033[31m", "\033[0m"


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures Vellum beside its peers and writes the table in benches/README.md.")
    parser.add_argument("--full", action="store_true", help="everything, three rounds each")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="rows whose name holds this text")
    parser.add_argument("--rounds", type=int, help="rounds of each row")
    parser.add_argument("--no-write", action="store_true", help="leave benches/README.md as it is")
    parser.add_argument("--no-peer", action="store_true", help="measure Vellum alone")
    arguments = parser.parse_args()
    prepare()
    with_peer = Orthanc.is_there() and not arguments.no_peer
    if not with_peer:
        print("Orthanc is not there: Vellum is measured alone", file=sys.stderr)
    limits = machine_limits()
    print_limits(limits)
    chosen = [row for row in rows(arguments.full) if wanted(row, arguments)]
    rounds = arguments.rounds or (3 if arguments.full else 1)
    results, worse = [], []
    for row in chosen:
        result = measure(row, min(rounds, row.rounds_max), with_peer)
        result["limit"] = limits.get(row.limit) if row.limit else None
        results.append(result)
        before = earlier(row.name)
        is_worse = before is not None and worse_than(result, before, row)
        if is_worse:
            worse.append(row.name)
        colour = (RED, PLAIN) if is_worse and sys.stdout.isatty() else ("", "")
        print(colour[0] + one_line(result) + colour[1], flush=True)
    if not arguments.no_write:
        keep(results, limits)
    for name in worse:
        print(f"{RED}worse than the last table by more than the spread: {name}{PLAIN}")
    return 0


def wanted(row: Row, arguments) -> bool:
    if arguments.only:
        return any(text.lower() in row.name.lower() for text in arguments.only)
    return arguments.full or row.quick


def prepare():
    if not Orthanc.is_there() and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-qq", "orthanc", "orthanc-dicomweb"]
        for command in (["apt-get", "update", "-qq"], install):
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    build = ["cargo", "build", "--release", "--quiet", "-p", "archive-api", "-p", "benches"]
    subprocess.run(build, cwd=ROOT, check=True)


def machine_limits() -> dict:
    folder = target() / "bench-data"
    folder.mkdir(parents=True, exist_ok=True)
    ran = subprocess.run([program("limits"), "--on", str(folder)], capture_output=True, text=True, check=True)
    limits = json.loads(ran.stdout)
    limits["pipeline_526kb_per_s"] = pipeline(limits)
    return limits


def pipeline(limits: dict) -> float:
    """Instances of 526 KB that all cores together could at most receive, hash, pack, and write to journal and store."""
    megabytes = 0.526
    worked = sum(megabytes / limits[name] for name in ("loopback_mb_per_s", "sha256_mb_per_s", "zstd3_mb_per_s"))
    written = (1 + 1 / limits["zstd3_ratio"]) / limits["append_16_x_526kb_fdatasync_per_s"]
    return os.cpu_count() / (worked + written)


def print_limits(limits: dict):
    print("This machine, now:")
    for name, value in limits.items():
        print(f"  {name.replace('_', ' '):45} {value:10.1f}")


def measure(row: Row, rounds: int, with_peer: bool) -> dict:
    ours, theirs, details = [], [], []
    for _ in range(rounds):
        if row.alone:
            measured = row.measure()
            ours.append(measured["value"])
            details.append(measured["outcome"])
            continue
        details.append(run(row, lambda: Vellum(**row.settings), ours))
        if row.beside:
            theirs.append(row.beside())
        elif row.peer and with_peer:
            run(row, Orthanc, theirs)
    return {
        "name": row.name,
        "unit": row.unit,
        "target": row.target,
        "more_is_better": row.more_is_better,
        "ours": summary(ours),
        "peer": summary(theirs) if theirs else None,
        "last": details[-1],
    }


def run(row: Row, server, values: list) -> dict:
    try:
        with server() as running:
            measured = row.measure(running)
            values.append(measured["value"])
            return measured["outcome"]
    except RuntimeError as error:
        print(f"  {row.name}: {error}", file=sys.stderr)
        return {"failed": str(error)}


def summary(values: list):
    if not values:
        return None
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "rounds": len(values)}


def ratio(result: dict):
    if not result["ours"] or not result["peer"] or not result["peer"]["median"]:
        return None
    return result["ours"]["median"] / result["peer"]["median"]


def cells(result: dict) -> list:
    def number(found):
        if not found:
            return "–"
        median = f"{found['median']:.4g}"
        return median if found["rounds"] == 1 else f"{median} ({found['low']:.4g}–{found['high']:.4g})"

    times = ratio(result)
    limit = result["limit"]
    share = f"{result['ours']['median'] / limit:.0%} of {limit:.0f}" if limit and result["ours"] else "–"
    return [
        f"{result['name']} ({result['unit']})",
        number(result["peer"]),
        number(result["ours"]),
        f"{times:.2f} ×" if times else "–",
        share,
        result["target"],
    ]


def one_line(result: dict) -> str:
    name, peer, ours, times, share, wanted_ = cells(result)
    return f"{name:62} peer {peer:>24}  ours {ours:>24}  {times:>8}  limit {share:>12}  wanted {wanted_}"


def earlier(name: str):
    if not RESULTS.exists():
        return None
    kept = json.loads(RESULTS.read_text())
    return next((row for row in kept["rows"] if row["name"] == name), None)


def worse_than(now: dict, before: dict, row: Row) -> bool:
    if not now["ours"] or not before["ours"]:
        return now["ours"] is None and before["ours"] is not None
    spread = before["ours"]["high"] - before["ours"]["low"]
    gained = now["ours"]["median"] - before["ours"]["median"]
    # One round has no spread of its own: a tenth.
    allowed = max(spread, before["ours"]["median"] * 0.1)
    return (-gained if row.more_is_better else gained) > allowed


def keep(results: list, limits: dict):
    kept = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    machine = f"{os.cpu_count()} × {processor()}, Linux {platform.release().split('-')[0]}"
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    about = {"commit": commit.stdout.strip(), "machine": machine, "date": time.strftime("%Y-%m-%d")}
    fresh = {result["name"]: {**result, **about} for result in results}
    merged = [fresh.pop(row["name"], row) for row in kept] + list(fresh.values())
    # Rows that there are no more go; what only one of the forms has stays.
    order = {row.name: at for at, row in reversed(list(enumerate([*rows(True), *rows(False)])))}
    merged = [row for row in merged if row["name"] in order]
    merged.sort(key=lambda row: order.get(row["name"], len(order)))
    RESULTS.write_text(json.dumps({"limits": limits, "rows": merged}, indent=1, ensure_ascii=False) + "\n")
    lines = ["| what | peer | Vellum | ratio | share of the limit | wanted | commit |", "|---|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join([*cells(row), row["commit"]]) + " |" for row in merged]
    limit_lines = [f"- {name.replace('_', ' ')}: {value:,.1f}" for name, value in limits.items()]
    text = README.read_text() if README.exists() else f"# Benches\n\n{BEGIN}\n{END}\n"
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    body = "\n".join([BEGIN, "", f"Machine: {machine}; its limits in that hour:", "", *limit_lines, "", *lines, "", END])
    README.write_text(before + body + after)


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
