"""`klein prove`: a short catalogue, its books, its reports, and nothing left behind."""
import json
import os
import signal
import subprocess

from lib.process import start
from lib.server import klein_program


def prove(cluster, folder, *options):
    return subprocess.run([klein_program(), "prove", "--name", cluster.name, "--report", str(folder), *options], capture_output=True,
                          text=True, timeout=120)


def assert_gone(cluster):
    assert not os.path.exists(cluster.data("prove"))
    assert cluster.admin().get("/api/v1/namespaces/klein-prove").code == 404


def test_short_catalogue(whole, tmp_path):
    """Killed containers and agents: every book agrees, and the report has what happened."""
    result = prove(whole, tmp_path, "--catalogue", "container-killed,agent-killed", "--requests", "100")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["counts"]["agree"] and report["counts"]["sent"] > 500, report["counts"]
    assert report["api"]["lostWrites"] == 0 and report["api"]["verified"], report["api"]
    assert report["api"]["watchMissed"] + report["api"]["watchRepeated"] + report["api"]["watchOutOfOrder"] == 0
    assert [f["name"] for f in report["faults"]] == ["container-killed"] * 3 + ["agent-killed"] * 3
    assert not any(f["skipped"] for f in report["faults"])
    # Exit status, first line and JSON say the same, whether this machine was quick enough or not.
    assert result.returncode == (0 if report["passed"] else 1), result.stderr
    text = (tmp_path / "report.txt").read_text()
    assert text.startswith("klein prove: every aim was met" if report["passed"] else "klein prove: AIMS WERE MISSED")
    gateway = [f for f in report["flows"] if f["flow"].startswith("gateway")]
    assert sum(f["failed"] for f in gateway) == 0, text
    html = (tmp_path / "report.html").read_text()
    assert html.count("<svg") == 3 and "<script" not in html and "container-killed" in html
    assert_gone(whole)


def test_interrupted(whole, tmp_path):
    """Ctrl-C in the middle of a fault: undone, reported as not finished, removed."""
    process = start([klein_program(), "prove", "--name", whole.name, "--report", str(tmp_path), "--catalogue",
                     "agent-killed,control-plane-away"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "agent killed" in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=90)
    assert process.returncode == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert not report["passed"] and any("interrupted" in c["found"] for c in report["checks"])
    assert_gone(whole)


def test_wrong_words(cluster):
    result = prove(cluster, ".", "--catalogue", "earthquake")
    assert result.returncode == 2 and "there is no fault 'earthquake'" in result.stderr
