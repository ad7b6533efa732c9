"""Model versions: named by content, refused when anything about them is wrong."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from judge.errors import BadModel, NotFound
from judge.versions.version import Manifest, VersionStore
from tests.tiny_model import make_tiny_model


@pytest.fixture
def store(tmp_path):
    return VersionStore(tmp_path / "models")


def add(store, tmp_path, seed=0, **fields):
    folder = make_tiny_model(tmp_path / f"draft-{seed}-{len(list(tmp_path.iterdir()))}", seed)
    return store.add(folder, origin="test", **fields).id


def writable(path):
    path.chmod(0o644)
    return path


def test_the_same_content_has_the_same_name(store, tmp_path):
    first, second = add(store, tmp_path), add(store, tmp_path)

    assert first == second
    assert [path.name for path in store.root.iterdir()] == [first]


def test_other_weights_or_another_manifest_have_another_name(store, tmp_path):
    names = {add(store, tmp_path), add(store, tmp_path, seed=1), add(store, tmp_path, strategy="pointwise")}

    assert len(names) == 3


def test_a_whole_version_passes(store, tmp_path):
    first, second = add(store, tmp_path), add(store, tmp_path, seed=1)

    assert store.verify(second, like=first).id == second


@pytest.mark.parametrize(
    "name", ["../etc", "..%2fetc", "/etc/passwd", "", "x" * 16, "0" * 16, "0" * 15 + "/"]
)
def test_only_ids_lead_to_folders(store, name):
    with pytest.raises(NotFound):
        store.path(name)


def damage_truncated(folder):
    path = writable(folder / "model.safetensors")
    path.write_bytes(path.read_bytes()[:-100])


def damage_changed(folder):
    path = writable(folder / "config.json")
    path.write_text(path.read_text() + " ")


def damage_missing(folder):
    (folder / "tokenizer.json").unlink()


def damage_extra(folder):
    (folder / "notes.txt").write_text("x")


def damage_manifest(folder):
    path = writable(folder / "manifest.json")
    path.write_text(path.read_text().replace('"pairwise"', '"pointwise"'))


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (damage_truncated, "model.safetensors was changed or cut off"),
        (damage_changed, "config.json was changed"),
        (damage_missing, "tokenizer.json is missing"),
        (damage_extra, "notes.txt is not in the manifest"),
        (damage_manifest, "the manifest was changed"),
    ],
)
def test_a_version_that_was_touched_is_refused(store, tmp_path, damage, complaint):
    version = add(store, tmp_path)

    damage(store.path(version))

    with pytest.raises(BadModel, match=complaint):
        store.verify(version)


def test_weights_that_are_not_finite_cannot_become_a_version(store, tmp_path):
    folder = make_tiny_model(tmp_path / "draft")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][3] = np.nan
    save_file(weights, folder / "model.safetensors")

    with pytest.raises(BadModel, match=r"model\.norm\.weight has a value that is not finite"):
        store.add(folder, origin="test")


def test_code_cannot_become_part_of_a_version(store, tmp_path):
    folder = make_tiny_model(tmp_path / "draft")
    (folder / "modeling.py").write_text("print('hello')")

    with pytest.raises(BadModel, match=r"modeling\.py"):
        store.add(folder, origin="test")


def test_a_config_that_names_code_is_refused(store, tmp_path):
    folder = make_tiny_model(tmp_path / "draft")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "x.Y"}}))

    with pytest.raises(BadModel, match="auto_map"):
        store.add(folder, origin="test")


def test_another_architecture_is_not_loaded_in_place(store, tmp_path):
    version = add(store, tmp_path)
    folder = make_tiny_model(tmp_path / "other")
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"][:-8]
    save_file(weights, folder / "model.safetensors")
    smaller = store.add(folder, origin="test").id

    with pytest.raises(BadModel, match="other tensors"):
        store.verify(smaller, like=version)


def test_another_vocabulary_is_not_loaded_in_place(store, tmp_path):
    version = add(store, tmp_path)
    folder = make_tiny_model(tmp_path / "other")
    vocabulary = json.loads((folder / "tokenizer.json").read_text())
    vocabulary["model"]["vocab"] = dict(reversed(vocabulary["model"]["vocab"].items()))
    (folder / "tokenizer.json").write_text(json.dumps(vocabulary, indent=1))
    other = store.add(folder, origin="test").id

    with pytest.raises(BadModel, match="another vocabulary"):
        store.verify(other, like=version)


def test_a_link_is_not_followed(store, tmp_path):
    version = add(store, tmp_path)
    outside = tmp_path / "outside"
    shutil.copytree(store.path(version), outside)
    (store.path(version) / "link.json").symlink_to(outside / "config.json")

    with pytest.raises(BadModel):
        store.verify(version)


def test_a_manifest_written_before_a_field_was_thought_of_keeps_its_name():
    written = {"format": 1, "origin": "seed: x", "files": {"a": "0"}, "tensors": "t"}

    read = Manifest.model_validate_json(json.dumps(written))

    assert json.loads(read.canonical()) == written
    assert read.cascade_threshold == 0.75
