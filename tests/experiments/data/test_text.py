import numpy as np
import pytest

from neat_optax.experiments.data import datasets, files, text
from neat_optax.experiments.data.parts import Data, Split

LINES = ["a good film\t1", 'bad " film\t0', "good\t1", "a dull one\t0"]


def write(path, lines, header="sentence\tlabel"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def split(*sentences):
    labels = np.zeros(len(sentences), np.int32)
    return Split(np.array(sentences, object), labels)


def test_sentences_and_labels_come_back(tmp_path):
    x, y = text.read_sentences(write(tmp_path / "x.tsv", [*LINES, "naïve \t1\r"]))
    assert x.tolist() == ["a good film", 'bad " film', "good", "a dull one", "naïve "]
    assert y.tolist() == [1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        (["good\t1", "good"], r"got 'good' in line 3 of .*x\.tsv"),
        (["good\tyes"], r"whole number from 0 on, got 'good\\tyes' in line 2"),
        (["good\t-1"], "got 'good\\\\t-1' in line 2"),
        (["good\t1", "", "bad\t0"], "got '' in line 3"),
        ([], "must have a sentence, got none"),
    ],
)
def test_other_lines_are_refused_by_their_number(lines, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        text.read_sentences(write(tmp_path / "x.tsv", lines))


def test_another_header_and_other_bytes_are_refused(tmp_path):
    path = write(tmp_path / "x.tsv", LINES, header="index\tsentence")
    with pytest.raises(ValueError, match=r"begin with 'sentence\\tlabel', got 'index"):
        text.read_sentences(path)
    path.write_bytes(b"sentence\tlabel\n\xff\t1\n")
    with pytest.raises(ValueError, match=r"must be in UTF-8, got .*x\.tsv"):
        text.read_sentences(path)


def test_the_vocabulary_is_of_the_training_part_alone():
    data = Data(split("A good good film", "b"), split("new film"), split(""))
    (train, validation, test), vocabulary = text.encode_sentences(data)
    assert vocabulary.tokens == ("good", "a", "b", "film")
    assert vocabulary.size == 6
    assert train.x.tolist() == [[3, 2, 2, 5], [4, 0, 0, 0]]
    assert validation.x.tolist() == [[text.UNKNOWN, 5, 0, 0]]
    assert (test.x == text.PADDING).all()


def test_what_is_cut_off_is_in_no_vocabulary():
    data = Data(split("a b c", "a"), split("c c c c"), split("a"))
    (train, validation, _), vocabulary = text.encode_sentences(data, longest=2)
    assert vocabulary.tokens == ("a", "b")
    assert train.x.tolist() == [[2, 3], [2, 0]]
    assert validation.x.tolist() == [[1, 1]]


def test_bytes_are_tokens_too():
    assert text.byte_tokens("aé") == ["a", "\xc3", "\xa9"]
    data = Data(split("aa"), split("ab"), split("a"))
    (_, validation, _), vocabulary = text.encode_sentences(data, text.byte_tokens)
    assert vocabulary.tokens == ("a",)
    assert validation.x.tolist() == [[2, 1]]


def test_a_character_is_followed_by_its_label(tmp_path):
    whole = "".join(chr(97 + i % 23) for i in range(100))
    path = tmp_path / "input.txt"
    path.write_text(whole, encoding="utf-8")
    data, vocabulary = text.encode_characters(text.read_characters(path, 5))
    seen = {i: token for i, token in enumerate(vocabulary.tokens, start=2)}
    for part, begin, count in zip(data, (0, 60, 80), (11, 3, 3), strict=True):
        x, y = (["".join(seen[i] for i in row) for row in z] for z in part)
        starts = range(begin, begin + 5 * count, 5)
        assert x == [whole[i : i + 5] for i in starts]
        assert y == [whole[i + 1 : i + 6] for i in starts]
    assert data.sequential
    assert not data.multi_label
    assert data.num_classes == vocabulary.size


def test_a_text_must_be_long_enough(tmp_path):
    path = tmp_path / "input.txt"
    path.write_text("x" * 27, encoding="utf-8")
    with pytest.raises(ValueError, match=r"fifths have 6 characters each, got 27"):
        text.read_characters(path, 5)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "INSTALLED", tmp_path / "nowhere")
    return tmp_path


def test_the_labeled_dev_part_is_the_test_part(folder):
    lines = [f"word{i} good\t{i % 2}" for i in range(30)]
    write(folder / "SST-2" / "train.tsv", lines)
    write(folder / "SST-2" / "dev.tsv", ["new good\t1"] * 4 + ["old\t0"] * 2)
    data = datasets.load("sst-2", folder=folder)
    assert [len(part.y) for part in data] == [24, 6, 6]
    assert data.num_classes == 2
    assert data.tokens and not data.sequential
    assert data.num_tokens == 24 + 1 + 2
    assert data.test.x[0].tolist() == [text.UNKNOWN, 2]
    other = datasets.load("sst-2", folder=folder, seed=1)
    assert not np.array_equal(data.train.y, other.train.y)
    few = datasets.load("sst-2", 0.5, folder)
    assert few.num_tokens == 12 + 1 + 2


def test_a_text_keeps_its_validation_whole(folder):
    whole = "".join(chr(97 + i * i % 26) for i in range(1000))
    (folder / "input.txt").write_text(whole, encoding="utf-8")
    data, few = (datasets.load("characters", x, folder) for x in (1.0, 0.5))
    assert [len(part.y) for part in data] == [9, 3, 3]
    assert [len(part.y) for part in few] == [4, 3, 3]


def test_missing_text_is_named(folder):
    with pytest.raises(ValueError, match=r"without SST-2/train\.tsv, SST-2/dev\.tsv"):
        datasets.load("sst-2", folder=folder)
    with pytest.raises(ValueError, match=r"characters without input\.txt in"):
        datasets.load("characters", folder=folder)
