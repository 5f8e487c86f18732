"""Mean and std as a user names them, as a file carries them, and what cannot be meant."""

import pytest

from utils.common import arguments
from utils.common.errors import InputError
from utils.common.normalisation import HALF, NAMED, Normalisation, normalisation_from_flags, parse_normalisation

IMAGENET = Normalisation(*NAMED["imagenet"])


def asked(words):
    parser = arguments.Parser(prog="step")
    arguments.add_data_arguments(parser)
    args = parser.parse_args(words.split())
    return normalisation_from_flags(args.mean, args.std)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", None),
        ("--mean imagenet", IMAGENET),
        ("--mean ImageNet", IMAGENET),
        ("--std imagenet", IMAGENET),
        ("--mean imagenet --std imagenet", IMAGENET),
        ("--mean half", HALF),
        ("--mean 0.5 --std 0.5", HALF),
        ("--mean 0.485 0.456 0.406 --std 0.229 0.224 0.225", IMAGENET),
        ("--mean imagenet --std half", Normalisation(IMAGENET.mean, HALF.std)),
        ("--mean 0 --std 1", Normalisation((0, 0, 0), (1, 1, 1))),
        ("--mean 0.1 0.2 0.3 --std 0.25", Normalisation((0.1, 0.2, 0.3), (0.25, 0.25, 0.25))),
    ],
)
def test_flags_name_a_normalisation(words, expected):
    assert asked(words) == expected


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--mean 0.4", "--mean 0.4 goes with --std"),
        ("--std 0.4", "--std 0.4 goes with --mean"),
        ("--mean 0.4 0.3 --std 0.2", "--mean 0.4 0.3: pass one number, three"),
        ("--mean imagenet 0.3 --std 0.2", "--mean imagenet 0.3: pass one number, three"),
        (
            "--mean 123.675 116.28 103.53 --std 58.4 57.1 57.4",
            "mean must be three numbers in .0, 1., got 123.675 .*divide by 255",
        ),
        ("--mean 0.5 --std 0", "--std must be three numbers above 0"),
        ("--mean -0.5 --std 0.5", "--mean must be three numbers in"),
    ],
)
def test_what_cannot_be_meant_is_one_line(words, line):
    with pytest.raises(InputError, match=line):
        asked(words)


@pytest.mark.parametrize("word", ["imagnet", "nan", "0.485,0.456,0.406"])
def test_a_word_that_is_no_number_names_what_there_is(word, capsys):
    with pytest.raises(SystemExit):
        asked(f"--mean {word}")
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"{word!r} is no number" in said and "half, imagenet" in said


@pytest.mark.parametrize("one", [HALF, IMAGENET, Normalisation((0.1, 0.2, 1 / 3), (0.25, 0.25, 0.25))])
def test_the_formula_in_a_file_gives_it_back(one):
    assert parse_normalisation(str(one)) == one
    assert asked(one.flags) == one


def test_the_formula_of_half_is_that_of_older_files():
    assert str(HALF) == "(x / 255 - 0.5) / 0.5" and HALF.black == (-1, -1, -1)


@pytest.mark.parametrize("text", ["x / 255", "(x / 255 - 0.5) / 0", "(x / 255 - [1 2]) / 1", "", None, 3])
def test_another_formula_is_refused(text):
    with pytest.raises(ValueError, match="normalisation must be"):
        parse_normalisation(text)
