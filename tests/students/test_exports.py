"""A student's folder: how files are hashed."""

from __future__ import annotations

from pathlib import Path

from metier.students.exports import sha256_of


def test_a_files_hash_is_that_of_its_bytes_and_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    path = tmp_path / "weights"
    path.write_bytes(b"a" * 5_000_000)
    found = sha256_of(path, lambda *step: told.append(step), "reading weights")
    assert found == sha256_of(path)
    assert told == [("reading weights", 1 << 22, 5_000_000), ("reading weights", 5_000_000, 5_000_000)]
    # FIPS 180-2, appendix B.1; of nothing: NIST's SHA256ShortMsg, Len = 0.
    path.write_bytes(b"abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(b"")
    assert sha256_of(path) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
