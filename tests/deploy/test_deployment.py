"""The unit and the container files hold what the gateway needs, and pass their own tools where these exist."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from metier.gateway.settings import ServeSettings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
# What the supervisor allows for audits under way and for the journal, beyond the time to drain.
_AFTER_DRAINING_S = 40
UNIT = DEPLOY / "systemd" / "metier.service"


@pytest.fixture(scope="module")
def service() -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return dict(parser["Service"])


def test_the_service_stops_and_reloads_as_the_gateway_expects(service: dict[str, str]) -> None:
    assert service["KillSignal"] == "SIGTERM"
    # The supervisor alone gets the signal and tells its workers.
    assert service["KillMode"] == "mixed"
    assert float(service["TimeoutStopSec"]) > ServeSettings().drain_s + _AFTER_DRAINING_S  # type: ignore[call-arg]
    assert "-HUP $MAINPID" in service["ExecReload"]
    assert service["Restart"] == "on-failure"


def test_the_service_may_do_little(service: dict[str, str]) -> None:
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["StateDirectory"] == "metier"
    assert service["ReadWritePaths"] == "/var/lib/metier"
    assert service["User"] not in ("", "root")
    # systemd reads it as root, so that the service's user cannot.
    assert service["EnvironmentFile"] == "-/etc/metier/environment"
    assert not [line for line in UNIT.read_text().splitlines() if re.match(r"Environment=.*(KEY|PASSWORD)", line)]


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed here")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
    if "unrecognized option" in done.stderr or "Unknown operation" in done.stderr:
        pytest.skip("this systemd-analyze is too old to check a unit that is not installed")
    return done


def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "metier.service"
    # Installed it is elsewhere; systemd wants the program to exist.
    unit.write_text(UNIT.read_text().replace("/opt/metier/bin/metier", "/bin/true"))
    done = _analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_rates_the_unit_as_safe() -> None:
    done = _analyze("security", "--offline=true", str(UNIT))
    exposure = re.search(r"Overall exposure level[^:]*: ([0-9.]+)", done.stdout)
    assert exposure is not None, done.stdout + done.stderr
    # 0 is safe, 10 is not; a unit without any of this has 9.6.
    assert float(exposure[1]) <= 2.0


def test_the_container_runs_as_nobody_special_and_stops_in_order() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    stages = [line for line in lines if line.startswith("FROM ")]
    assert len(stages) == 2
    assert all("-slim" in stage for stage in stages)
    last = lines[max(n for n, line in enumerate(lines) if line.startswith("FROM ")) :]
    assert "USER 10001" in last
    assert "STOPSIGNAL SIGTERM" in last
    assert any("/healthz" in line for line in last)
    # In the form of a list, so that signals reach metier and no shell.
    assert 'ENTRYPOINT ["metier"]' in last
    assert not [line for line in lines if re.search(r"torch|\[.*train.*\]|KEY=|PASSWORD=", line) and line[0] != "#"]


def test_the_container_is_built_from_the_source_alone() -> None:
    kept = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    assert (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()[1] == "*"
    copied = re.search(r"^COPY (.*) \./$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert copied is not None
    assert {*copied[1].split(), "src"} == set(kept)
    assert [name for name in kept if not (ROOT / name).exists()] == []


def test_the_image_is_built_where_docker_is() -> None:
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("docker is not installed here")
    if subprocess.run([docker, "info"], capture_output=True, timeout=60).returncode != 0:
        pytest.skip("no docker daemon can be reached here")
    build = [docker, "build", "--quiet", "-f", str(DEPLOY / "Dockerfile"), str(ROOT)]
    built = subprocess.run(build, capture_output=True, text=True, timeout=900)
    if built.returncode != 0 and re.search(
        r"resolve|timeout|registry|pull access|network", built.stderr, re.IGNORECASE
    ):
        pytest.skip("the base image or the packages cannot be reached from here")
    assert built.returncode == 0, built.stderr[-2000:]
    image = built.stdout.strip()
    shown = subprocess.run([docker, "run", "--rm", image, "--help"], capture_output=True, text=True, timeout=60)
    assert "serve" in shown.stdout


def test_compose_mounts_files_that_exist() -> None:
    content = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    for name, service in content["services"].items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("./") and source != "./project":
                assert (DEPLOY / source).exists(), (name, source)
            elif not source.startswith("."):
                assert source in content["volumes"], (name, source)
        for secret in service.get("secrets", ()):
            assert secret in content["secrets"], name
    grace = content["services"]["metier"]["stop_grace_period"]
    assert float(grace.removesuffix("s")) > ServeSettings().drain_s + _AFTER_DRAINING_S  # type: ignore[call-arg]


def test_prometheus_scrapes_the_gateway_of_the_compose_file() -> None:
    content = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (job,) = content["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"metier:{ServeSettings().port}"]}]  # type: ignore[call-arg]
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert job["authorization"]["credentials_file"] == "/run/secrets/" + compose["services"]["prometheus"]["secrets"][0]
    assert content["rule_files"][0] in " ".join(compose["services"]["prometheus"]["volumes"])


def test_serving_needs_none_of_the_extras() -> None:
    """What a worker imports and the students that serve, with every library of an extra made impossible to import."""
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in {'torch', 'transformers', 'onnx', 'onnxscript', 'xllamacpp', 'psycopg',"
        " 'opentelemetry', 'presidio_analyzer', 'spacy'}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import metier.gateway.telemetry.opening as opening\n"
        "import metier.gateway.routing.holder\n"
        "import metier.gateway.recording.recorder\n"
        "import metier.students.linear, metier.students.encoder\n"
        "telemetry = opening.open_telemetry('off', environ={})\n"
        "assert b'metier_build_info' in telemetry.exposition()[0]\n"
        "telemetry.close()\n"
        "print('ok')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout == "ok\n", done.stderr[-2000:]
