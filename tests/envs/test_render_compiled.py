from embodied_cf.envs.compiled import fingerprint, kept


def test_a_kernel_with_no_place_to_be_kept_is_compiled_all_the_same():
    space = {}
    exec("def twice(x):\n    return 2 * x", space)  # has no file, so numba finds no directory for its cache
    assert kept(space["twice"])(21) == 42


def test_fingerprints_follow_the_content_of_files(tmp_path):
    one, other = tmp_path / "a.py", tmp_path / "b.py"
    one.write_text("x = 1\n")
    other.write_text("x = 1\n")
    assert fingerprint(str(one)) == fingerprint(str(other))
    other.write_text("x = 2\n")
    assert fingerprint(str(one)) != fingerprint(str(other))
