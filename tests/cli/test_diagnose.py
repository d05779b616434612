import json
import subprocess
import sys

from kertl.cli import run

ROWS = "epoch,loss,val_loss\n" + "".join(
    f"{epoch},{1 / (epoch + 1)},{value}\n" for epoch, value in enumerate([1.1, 0.8, 0.7, 0.8, 1.0, 1.2, 1.4, 1.5])
)


def test_diagnose_prints_the_verdict_and_what_to_try(tmp_path, capsys):
    (tmp_path / "log.csv").write_text(ROWS)
    assert run(["diagnose", str(tmp_path / "log.csv")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Overfitting. The model overfits from epoch 3 on")
    assert "kertl.Stage(" in printed
    assert max(len(line) for line in printed.splitlines()) <= 80


def test_what_is_no_training_is_told_in_the_words_of_the_command(tmp_path, capsys):
    assert run(["diagnose", str(tmp_path)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "`RUN_OR_LOG` must be a run directory, a CSV log" in said
    assert "dictionary" not in said


def test_diagnose_prints_json(tmp_path, capsys):
    (tmp_path / "log.csv").write_text(ROWS)
    assert run(["diagnose", str(tmp_path / "log.csv"), "--json", "--validation-images", "20"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["verdict"] == "validation_too_small"
    assert [finding["verdict"] for finding in values["findings"]] == ["validation_too_small", "overfitting"]
    assert values["findings"][1]["evidence"]["from_epoch"] == 3


def test_diagnose_of_an_empty_log_is_an_error_that_says_so(tmp_path, capsys):
    (tmp_path / "log.csv").write_text("")
    assert run(["diagnose", str(tmp_path / "log.csv")]) == 2
    assert "empty" in capsys.readouterr().err


def test_diagnose_imports_neither_keras_nor_tensorflow(tmp_path):
    (tmp_path / "log.csv").write_text(ROWS)
    code = (
        f"import sys; from kertl.cli import run; run(['diagnose', {str(tmp_path / 'log.csv')!r}]); "
        "sys.exit(sum(name in sys.modules for name in ('keras', 'tensorflow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
