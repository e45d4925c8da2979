"""Vellum and Orthanc, started on free ports of the loopback with a data folder of their own, and stopped by their id."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ORTHANC_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
START_PATIENCE = 120


def target() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def program(name: str) -> str:
    return str(target() / "release" / name)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server with a data folder that is deleted afterwards."""

    name = ""
    aet = ""

    def __init__(self):
        folder = target() / "bench-data"
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name.lower()}-", dir=folder))
        self.data = self.folder / "data"
        self.start()
        self.wait_until_quiet()

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        # What one left unwritten must not be paid by the next.
        os.sync()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=START_PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def wait_until_quiet(self):
        """What a server prepares after its start (Vellum: segments of its journal) is done: it has used next to nothing for a second, or
        ten have passed."""
        used, since = None, time.monotonic()
        end = since + 10
        while time.monotonic() - since < 1 and time.monotonic() < end:
            now = self._used()
            if used is None or now[1] > used[1] + (1 << 20) or now[0] > used[0] + 2:
                used, since = now, time.monotonic()
            time.sleep(0.1)

    def _used(self) -> tuple:
        """Ticks of processor time, bytes written."""
        stat = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        written = next(line for line in Path(f"/proc/{self.pid}/io").read_text().splitlines() if line.startswith("write_bytes"))
        return int(stat[11]) + int(stat[12]), int(written.split()[1])

    def stored_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.store_folder().rglob("*") if path.is_file())


class Vellum(Server):
    name = "Vellum"
    aet = "VELLUM"

    def __init__(self, **settings):
        self.settings = settings
        super().__init__()

    def environment(self) -> dict:
        return {
            **os.environ,
            "VELLUM_HTTP__LISTEN": "127.0.0.1:0",
            "VELLUM_DIMSE__LISTEN": "127.0.0.1:0",
            "VELLUM_LOG__FORMAT": "json",
            **self.settings,
        }

    def start(self):
        self.process = subprocess.Popen(
            [program("vellum"), "serve", "--data", str(self.data)],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log = []
        for line in self.process.stderr:
            self.log.append(line)
            try:
                fields = json.loads(line).get("fields", {})
            except ValueError:
                continue
            if fields.get("message") == "ready":
                break
        else:
            raise RuntimeError("Vellum did not start:\n" + "".join(self.log))
        self.http, self.dimse = fields["http"], fields["dimse"]
        self.url = f"http://{self.http}/dicom-web"
        # The pipe must not fill up.
        threading.Thread(target=self._read_on, daemon=True).start()

    def _read_on(self):
        for line in self.process.stderr:
            self.log.append(line)
            del self.log[:-1000]

    def verb(self, *arguments):
        ran = subprocess.run(
            [program("vellum"), *arguments, "--data", str(self.data)],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode != 0:
            raise RuntimeError(f"vellum {' '.join(arguments)}: {ran.stdout}{ran.stderr}")
        return ran.stdout

    def settle(self):
        """Everything sealed."""
        self.verb("seal", "--now")

    def start_again(self) -> float:
        """Seconds from the start of the program to its first answer, after a clean stop."""
        self.stop()
        begin = time.monotonic()
        self.start()
        urllib.request.urlopen(f"{self.url}/studies?limit=1", timeout=START_PATIENCE).read()
        return time.monotonic() - begin

    def rebuild(self) -> dict:
        """Makes the catalog anew: packs, instances, seconds, and bytes that the server read meanwhile, of whatever."""
        before = self._read_bytes()
        outcome = json.loads(self.verb("rebuild", "--json").splitlines()[-1])
        return {**outcome, "bytes": self._read_bytes() - before}

    def _read_bytes(self) -> int:
        lines = Path(f"/proc/{self.pid}/io").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("rchar")).split()[1])

    def take_in(self, folder: Path) -> float:
        """Seconds that the import of a folder takes."""
        begin = time.monotonic()
        self.verb("import", str(folder))
        return time.monotonic() - begin

    def memory_to_take_in(self, folder: Path) -> float:
        """The highest memory of the server or of the verb while a folder is imported, whichever had more (MiB)."""
        arguments = [program("vellum"), "import", str(folder), "--data", str(self.data)]
        verb = subprocess.Popen(arguments, env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(verb.pid, 0)
        verb.returncode = os.waitstatus_to_exitcode(status)
        if verb.returncode != 0:
            raise RuntimeError(f"vellum import {folder}: ended with {verb.returncode}")
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        highest = int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
        return max(highest, usage.ru_maxrss) / 1024

    def store_folder(self) -> Path:
        return self.data / "store"


class Orthanc(Server):
    name = "Orthanc"
    aet = "ORTHANC"

    @staticmethod
    def is_there() -> bool:
        return shutil.which("Orthanc") is not None and ORTHANC_PLUGIN.exists()

    def start(self):
        self.data.mkdir(exist_ok=True)
        http, dimse = free_port(), free_port()
        configuration = {
            "Name": "BENCH",
            "StorageDirectory": str(self.data),
            "IndexDirectory": str(self.data),
            "StorageCompression": False,
            "HttpPort": http,
            "DicomPort": dimse,
            "DicomAet": self.aet,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "TcpNoDelay": True,
            "KeepAlive": True,
            "HttpThreadsCount": 50,
            "Plugins": [str(ORTHANC_PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        file = self.folder / "orthanc.json"
        file.write_text(json.dumps(configuration))
        self.process = subprocess.Popen(
            ["Orthanc", str(file)],
            # dcmtk sends small PDUs at once where this is set.
            env={**os.environ, "TCP_NODELAY": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.http, self.dimse = f"127.0.0.1:{http}", f"127.0.0.1:{dimse}"
        self.url = f"http://{self.http}/dicom-web"
        for _ in range(START_PATIENCE * 10):
            try:
                urllib.request.urlopen(f"http://{self.http}/system", timeout=5).read()
                return
            except (urllib.error.URLError, ConnectionError):
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        raise RuntimeError("Orthanc did not start")

    def settle(self):
        pass

    def store_folder(self) -> Path:
        return self.data


def load(*arguments, server: Server, may_fail=False) -> dict:
    """Runs the load driver against a server."""
    ran = subprocess.run(
        [program("load"), *map(str, arguments), "--pid", str(server.pid)], capture_output=True, text=True, check=False
    )
    try:
        outcome = json.loads(ran.stdout)
    except ValueError:
        raise RuntimeError(f"load {arguments}: {ran.stdout}{ran.stderr}") from None
    if ran.returncode != 0 and not may_fail:
        raise RuntimeError(f"load {arguments}: refused {outcome['refused']}: {outcome['first_refusal']} {outcome['failure']}")
    return outcome


def store(server: Server, **options) -> dict:
    return load("store", "--to", server.dimse, "--called", server.aet, *flags(options), server=server)


def stow(server: Server, **options) -> dict:
    return load("stow", "--url", f"{server.url}/studies", *flags(options), server=server)


def qido(server: Server, by: str, **options) -> dict:
    return load("qido", "--url", server.url, "--by", by, *flags(options), server=server)


def wado(server: Server, what: str, **options) -> dict:
    return load("wado", "--url", server.url, "--what", what, *flags(options), server=server)


def flags(options: dict) -> list:
    given = []
    for name, value in options.items():
        given.append("--" + name.replace("_", "-"))
        if value is not True:
            given.append(str(value))
    return given
