"""What steps 2, 3 and the tools open: images prepared as in training, an oracle of the same kind, missing images."""

import json

import numpy as np
import pytest
import torch
from conftest import STEP_1, STEP_2, STEP_3, audit_without_costly_attacks, run_step
from small_celeba import make_folder, open_small

from models import build_model
from utils.common.errors import InputError
from utils.common.normalisation import HALF, NAMED, Normalisation
from utils.datasets.augmentation import flip_and_rotate
from utils.datasets.dataset import denormalise, normalise
from utils.datasets.decoding import load_exact
from utils.datasets.task import calibration_images, open_networks, open_task
from utils.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from utils.network.tensor_files import sha256_of
from utils.training.recipe import augmentation_from_flags

SMALL = "shufflenet_v2_x0_5"
TASK = ("Bald", "Smiling")
IMAGENET = Normalisation(*NAMED["imagenet"])


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("faces") / "data")


def checkpoint(path, heads=TASK, size=16, normalisation=HALF, model=SMALL, **arguments):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = build_model(model, heads).state_dict()
    arguments = {"split": "all", **arguments}
    save_checkpoint(path, Checkpoint(state, model, heads, size, str(normalisation), arguments=arguments))


@pytest.fixture
def opened(faces, tmp_path):
    """A function that opens the task of a checkpoint of some arguments."""

    def open_it(*, flags=(), **made):
        checkpoint(tmp_path / "Bald_Smiling" / "original.pth", **made)
        options = {"task_labels": list(TASK), "target_class": [0], "data_path": faces, "save_path": tmp_path}
        return open_task(**options, device="cpu", cache_path=None, **dict(flags))

    return open_it


def test_half_is_the_arithmetic_of_before_bit_for_bit():
    pixels = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(1, 16, 16, 3)
    before = pixels.permute(0, 3, 1, 2).float().sub_(127.5).div_(127.5)
    assert torch.equal(normalise(pixels), before)


def test_batches_are_normalised_by_the_mean_and_std_of_each_channel(faces):
    half, other = open_small(faces), open_small(faces, mean=IMAGENET.mean, std=IMAGENET.std)
    rows = np.arange(3)
    pixels = torch.from_numpy(other.images(rows)).permute(0, 3, 1, 2).double() / 255
    by_hand = (pixels - torch.tensor(IMAGENET.mean)[:, None, None]) / torch.tensor(IMAGENET.std)[:, None, None]
    (images, _), (plain, _) = (next(data.batches(rows, 3, "cpu")) for data in (other, half))
    assert images.dtype == torch.float32 and torch.allclose(images.double(), by_hand, atol=1e-6)
    assert torch.allclose(plain.double(), pixels * 2 - 1, atol=1e-6)
    assert images.is_contiguous(memory_format=torch.channels_last)
    for data, batch in ((half, plain), (other, images)):
        assert (denormalise(batch, data.normalisation) == data.images(rows)).all()


def test_exactly_resized_images_are_normalised_likewise(faces):
    half = open_small(faces, exact_resize=True)
    other = open_small(faces, exact_resize=True, mean=IMAGENET.mean, std=IMAGENET.std)
    (images, _), (plain, _) = (next(data.batches(np.arange(2), 2, "cpu")) for data in (other, half))
    std, mean = (torch.tensor(values)[:, None, None] for values in (IMAGENET.std, IMAGENET.mean))
    assert torch.allclose(images * std + mean, plain / 2 + 0.5, atol=1e-6)
    assert (load_exact(str(half.paths[0]), 16) == plain[0].numpy()).all()


def test_what_a_rotation_brings_in_is_black_on_any_normalisation():
    images = torch.zeros(2, 3, 16, 16)
    turned = flip_and_rotate(
        images, *[torch.zeros(2, dtype=torch.bool)] * 2, torch.tensor([45.0, 0.0]), black=IMAGENET.black
    )
    assert torch.allclose(turned[0, :, 0, 0], torch.tensor(IMAGENET.black)) and turned[1].abs().max() < 1e-6
    augment = augmentation_from_flags(
        hflip=True, vflip=False, rotation=9.0, as_released=False, mean=["imagenet"], std=None
    )
    assert augment.black == IMAGENET.black and augment.nearest is False


def test_the_images_of_a_task_are_prepared_as_in_training(opened):
    task = opened(normalisation=IMAGENET)
    assert task.open_data().normalisation == IMAGENET and task.network.normalisation == IMAGENET
    with pytest.raises(InputError, match="pass --mean imagenet"):
        opened(normalisation=IMAGENET, flags={"mean": ["half"]})


def test_own_weights_use_the_images_that_are_there_if_asked(tmp_path):
    data = make_folder(tmp_path / "data")
    (data / "img_align_celeba" / "000002.jpg").unlink()
    checkpoint(tmp_path / "a.pth")
    torch.save(load_checkpoint(tmp_path / "a.pth").state_dict, tmp_path / "plain.pth")
    options = {"task_labels": list(TASK), "target_class": [0], "data_path": data, "device": "cpu", "cache_path": None}
    options |= {"weights": tmp_path / "plain.pth", "model": SMALL, "split": "all", "img_size": 16}
    with pytest.raises(InputError, match="--allow_missing"):
        open_task(**options).open_data()
    assert len(open_task(**options, allow_missing=True).open_data()) == 7
    assert open_task(**options, allow_missing=True).data_options["limit"] is None


def test_a_recorded_allow_missing_serves_and_can_be_taken_back(tmp_path):
    data = make_folder(tmp_path / "data")
    (data / "img_align_celeba" / "000002.jpg").unlink()
    checkpoint(tmp_path / "Bald_Smiling" / "original.pth", allow_missing=True, limit=6)
    options = {"task_labels": list(TASK), "target_class": [0], "data_path": data, "device": "cpu", "cache_path": None}
    assert len(open_task(**options, save_path=tmp_path).open_data()) == 5
    with pytest.raises(InputError, match="missing"):
        open_task(**options, save_path=tmp_path, allow_missing=False).open_data()


@pytest.mark.parametrize(
    ("oracle", "said"),
    [
        ({"size": 24}, ("original shufflenet_v2_x0_5 at 16 px, oracle shufflenet_v2_x0_5 at 24 px", "--img_size 16")),
        ({"model": "mobilenet_v3_small"}, ("oracle mobilenet_v3_small at 16 px", f"--model {SMALL}")),
        ({"normalisation": IMAGENET}, ("oracle shufflenet_v2_x0_5 at 16 px, (x / 255 - [0.485", "--img_size 16)")),
        ({"as_released": True}, ("oracle shufflenet_v2_x0_5 at 16 px, --as_released", "--img_size 16)")),
    ],
)
def test_an_oracle_of_another_kind_is_to_be_trained_again(oracle, said, opened, tmp_path):
    checkpoint(tmp_path / "Bald_Smiling" / "oracle_Bald.pth", heads=("Smiling",), **oracle)
    with pytest.raises(InputError) as error:
        opened().reference_networks()
    line = str(error.value)
    again = (
        f"train the oracle again at 16 px with --model {SMALL} (python unlearning_multi_celeba_resnet18_original.py "
    )
    assert again + "--leave_out Bald" in line
    assert all(part in line for part in said) and "pass --img_size" not in line


def test_an_oracle_of_another_split_is_warned_of(opened, tmp_path, capsys):
    checkpoint(tmp_path / "Bald_Smiling" / "oracle_Bald.pth", heads=("Smiling",), limit=3)
    assert set(opened().reference_networks()) == {"random", "oracle"}
    said = capsys.readouterr().err
    assert (
        said.count("\n") == 1
        and "warning: the networks were trained with different --limit (original None, oracle 3)" in said
    )


def test_a_matching_oracle_is_taken_in_silence(opened, tmp_path, capsys):
    checkpoint(tmp_path / "Bald_Smiling" / "oracle_Bald.pth", heads=("Smiling",))
    task = opened()
    networks = task.reference_networks(0, task.open_data())
    assert networks["oracle"].attributes == ("Smiling",) and not capsys.readouterr().err
    state = networks["random"].state_dict()
    assert not torch.equal(state["conv1.1.running_mean"], torch.zeros(24))


def test_calibration_images_are_spread_over_the_training_part(faces):
    data = open_small(faces, split="released")
    assert len(calibration_images(data)) == 6
    images, _ = next(data.batches(np.array([0, 2, 5]), 3, "cpu"))
    assert torch.equal(calibration_images(data, 3), images)


def audited(faces, files, **flags):
    options = {"device": "cpu", "task_labels": list(TASK), "model": None, "img_size": None, "mean": None, "std": None}
    options |= {"seed": 0, "data_path": faces, "split": None, "allow_missing": None, "cache_path": None}
    return open_networks(files, ["Bald"], **{**options, **flags})


def test_an_audit_takes_the_normalisation_of_its_files_and_refuses_two(faces, tmp_path):
    checkpoint(tmp_path / "a.pth", normalisation=IMAGENET)
    checkpoint(tmp_path / "b.pth")
    torch.save(load_checkpoint(tmp_path / "b.pth").state_dict, tmp_path / "plain.pth")
    network, _, data, used = audited(faces, {"unlearned": tmp_path / "a.pth"})
    assert network.normalisation == data.normalisation == IMAGENET and used["mean"] == IMAGENET.mean
    with pytest.raises(InputError, match=r"differ \(unlearned .*\[0.485.*, original .* - 0.5\) / 0.5\)"):
        audited(faces, {"unlearned": tmp_path / "a.pth", "original": tmp_path / "b.pth"})
    files = {"unlearned": tmp_path / "a.pth", "original": tmp_path / "plain.pth"}
    flags = {"model": SMALL, "img_size": 16}
    with pytest.raises(InputError, match="plain state dicts .--model shufflenet_v2_x0_5 --img_size 16 --mean imagenet"):
        audited(faces, files, **flags)
    assert audited(faces, files, **flags, mean=["imagenet"])[2].normalisation == IMAGENET


@pytest.mark.parametrize("size", [None, 16, 24])
def test_an_audit_names_the_oracle_of_another_size_not_a_flag(size, faces, tmp_path):
    checkpoint(tmp_path / "a.pth")
    checkpoint(tmp_path / "oracle.pth", heads=("Smiling",), size=24)
    with pytest.raises(InputError) as error:
        audited(faces, {"unlearned": tmp_path / "a.pth", "oracle": tmp_path / "oracle.pth"}, img_size=size)
    told = "pass --img_size 16" if size == 24 else f"train the oracle again at 16 px with --model {SMALL}"
    assert told in str(error.value)


def test_an_oracle_trained_on_other_images_is_warned_of(opened, tmp_path, capsys):
    checkpoint(tmp_path / "Bald_Smiling" / "oracle_Bald.pth", heads=("Smiling",), training_part="0123456789abcdef")
    task = opened()
    task.reference_networks(0, task.open_data())
    assert "oracle_Bald.pth was trained on other images or labels" in capsys.readouterr().err


def test_three_steps_on_imagenets_normalisation_record_it_everywhere(tiny_celeba, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    audit_without_costly_attacks(monkeypatch)
    words = ["--task", "Bald", "Eyeglasses", "--data_path", tiny_celeba, "--device", "cpu"]
    training = ["--model", SMALL, "--img_size", 32, "--epoch", 1, "--batch_size", 30, "--limit", 80]
    run_step(STEP_1, *words, *training, "--mean", "imagenet")
    folder = tmp_path / "checkpoints" / "Bald_Eyeglasses"
    original = load_checkpoint(folder / "original.pth")
    assert original.normalisation == str(IMAGENET) and len(original.arguments["training_part"]) == 16
    assert "normalisation  imagenet: (x / 255 - [0.485 0.456 0.406])" in capsys.readouterr().out
    run_step(STEP_2, *words, "--num_images", 4, "--layers", 1)
    graph = json.loads((tmp_path / "graphs" / "Bald_Eyeglasses" / "Bald.json").read_text())
    assert graph["made_by"]["normalisation"] == str(IMAGENET)
    own = ["--weights", folder / "plain.pth", "--model", SMALL, "--allow_missing"]
    torch.save(original.state_dict, folder / "plain.pth")
    del graph["sha256"]  # edited by hand
    graph["made_by"]["parent_sha256"] = sha256_of(folder / "plain.pth")
    (tmp_path / "plain.json").write_text(json.dumps(graph))
    own += ["--graph", tmp_path / "plain.json"]
    for flags, line in (([], "of img_size 32, asked for is 224"), (["--img_size", 32], "asked for is .x / 255 - 0.5")):
        with pytest.raises(InputError, match=line):
            run_step(STEP_3, *words, *own, *flags)
    run_step(STEP_3, *words)
    said = capsys.readouterr()
    assert "imagenet: (x" in said.out and "not the training images" not in said.out
    assert "warning: the original is no better than the more frequent answer alone (accuracy of " in said.err
    line = json.loads((tmp_path / "results" / "results.jsonl").read_text())["arguments"]
    assert line["mean"] == list(IMAGENET.mean) and line["std"] == list(IMAGENET.std)
    assert (line["split"], line["limit"], line["allow_missing"], line["img_size"]) == ("released", 80, False, 32)
    assert load_checkpoint(folder / "pruned_Bald.pth").normalisation == str(IMAGENET)
    files = ["--unlearned", folder / "pruned_Bald.pth", "--original", folder / "original.pth"]
    run_step("tools.audit", *words, *files, "--split", "all", "--results", "audit.jsonl")
    said = capsys.readouterr().out
    assert "these are not the training images" in said and "imagenet: (x" in said
    line = json.loads((tmp_path / "audit.jsonl").read_text())["arguments"]
    assert (line["split"], line["limit"], line["img_size"]) == ("all", 80, 32) and line["mean"] == list(IMAGENET.mean)
    for step in (STEP_2, STEP_3):
        with pytest.raises(InputError, match="asked for is .x / 255 - 0.5. / 0.5: pass --mean imagenet"):
            run_step(step, *words, "--mean", "half")
    with pytest.raises(InputError, match="pass --mean imagenet"):
        run_step(STEP_1, *words, "--mean", "half", "--evaluate_only")
    with pytest.raises(InputError, match="had normalisation"):
        run_step(STEP_1, *words, *training, "--resume")
