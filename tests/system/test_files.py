"""Files are there whole or not at all; what killed writers leave goes; pipes are not waited for."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from rocket_tf.errors import ConfigError
from rocket_tf.system import files
from rocket_tf.system.places import check_file, check_folder


def test_json_is_strict_and_null_stands_for_what_is_not_finite(tmp_path):
    content = {"a": [float("nan"), 1.5, (float("inf"), -float("inf"))], "b": {"c": True, "d": 3}}
    files.write_json(tmp_path / "x.json", content)

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    read = json.loads((tmp_path / "x.json").read_text(), parse_constant=refuse)
    assert read == {"a": [None, 1.5, [None, None]], "b": {"c": True, "d": 3}}


class TestRegularFiles:
    @pytest.fixture(params=["pipe", "device", "folder"])
    def odd(self, request, tmp_path):
        path = tmp_path / "x.jpg"
        if request.param == "pipe":
            os.mkfifo(path)
        elif request.param == "device":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()
        return path

    def test_others_are_refused_at_once(self, odd):
        for read in (files.open_regular, files.check_regular, files.read_bytes, files.read_text):
            with pytest.raises(OSError, match=r"is not a regular file|Is a directory"):
                read(odd)

    def test_the_content(self, tmp_path):
        (tmp_path / "x").write_bytes("ä".encode())
        (tmp_path / "link").symlink_to("x")
        assert files.read_bytes(tmp_path / "link") == b"\xc3\xa4"
        assert files.read_text(tmp_path / "x") == "ä"
        with pytest.raises(FileNotFoundError):
            files.open_regular(tmp_path / "y")


def killed_writer(folder, work):
    """Runs a process that is killed within `work`, in which `stop` waits for that."""
    script = f"""
        import sys, time
        sys.orig_argv = ["python", "-m", "rocket_tf.main"]
        from pathlib import Path
        from rocket_tf.system import files
        folder = Path({str(folder)!r})
        def stop(*arguments, **named):
            print("here", flush=True)
            time.sleep(600)
    """
    code = textwrap.dedent(script) + textwrap.dedent(work)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "here\n"
    return process


def end(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


class TestLeftovers:
    VERSION = """
        def write(partial):
            (partial / "half").write_text("x")
            stop()
        files.write_version(folder, write)
    """

    def test_leftovers_of_a_version_go_once_its_writer_is_dead(self, tmp_path):
        process = killed_writer(tmp_path, self.VERSION)
        (partial,) = tmp_path.iterdir()
        files.clear_partial(tmp_path)
        assert partial.exists()  # it is being written
        end(process)
        version = files.write_version(tmp_path, lambda folder: (folder / "a").write_text("b"))
        assert [path.name for path in tmp_path.iterdir()] == [version.name] == ["1"]

    def test_leftovers_of_a_file_go_once_its_writer_is_dead(self, tmp_path):
        process = killed_writer(
            tmp_path,
            """
            import os
            os.fsync = stop
            files.write_text(folder / "table.json", "half")
            """,
        )
        files.write_text(tmp_path / "other.json", "whole")
        files.write_text(tmp_path / "table.json", "by another")
        assert len(list(tmp_path.iterdir())) == 3  # with the one that is being written
        end(process)
        files.write_text(tmp_path / "table.json", "new")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["other.json", "table.json"]
        assert (tmp_path / "table.json").read_text() == "new"

    def test_a_version_that_was_moved_away_comes_back(self, tmp_path):
        files.write_version(tmp_path, lambda folder: (folder / "a").write_text("old"), 7)
        process = killed_writer(
            tmp_path,
            """
            import os
            rename = os.rename
            def renamed(source, target):
                if str(source).endswith(".partial"):
                    stop()
                rename(source, target)
            os.rename = renamed
            files.write_version(folder, lambda partial: None, 7, overwrite=True)
            """,
        )
        files.clear_partial(tmp_path)
        assert not (tmp_path / "7").exists()  # both belong to the writer
        end(process)
        files.clear_partial(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["7"]
        assert (tmp_path / "7" / "a").read_text() == "old"

    def test_the_replaced_one_goes_once_the_new_one_is_there(self, tmp_path):
        (tmp_path / "7").mkdir()
        (tmp_path / ".1234.7.replaced").mkdir()
        files.clear_partial(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["7"]


class TestPlaces:
    def test_valid_folders(self, tmp_path):
        (tmp_path / "file").write_text("")
        for path in (tmp_path, tmp_path / "a" / "b", "relative/one", tmp_path / ("a" * 255)):
            check_folder("--workdir", path)
        check_file("--output", tmp_path / "new" / "x.json")

    @pytest.mark.parametrize(
        "name, message",
        [
            ("file", "is a file, expected a folder"),
            ("file/a/b", "file is a file, and .*/a/b would lie under it"),
            ("a" * 256, "File name too long"),
            ("b/" * 3000, "File name too long"),
            ("\udcff", "a path in UTF-8"),
        ],
        ids=["file", "under a file", "long name", "long path", "no UTF-8"],
    )
    def test_invalid_folders(self, tmp_path, name, message):
        (tmp_path / "file").write_text("")
        with pytest.raises(ConfigError, match=f"^--workdir: .*{message}") as error:
            check_folder("--workdir", f"{tmp_path}/{name}")
        assert len(str(error.value)) < 700

    def test_names_of_files(self, tmp_path):
        (tmp_path / "file").write_text("")
        for path in (tmp_path / "file" / "x.json", tmp_path / ("x" * 230)):
            with pytest.raises(ConfigError, match=r"^--output: "):
                check_file("--output", path)
