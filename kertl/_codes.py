"""What the codes at the end of error messages stand for: cause, an example, and the way out.

`kertl explain CODE` and the page of the site are made from this table. Nothing is imported for it.
"""

from typing import NamedTuple


class Code(NamedTuple):
    """A kind of mistake; `example` is Python that makes it, or a command."""

    cause: str
    example: str
    way_out: str


CODES: dict[str, Code] = {
    "argument": Code(
        "An argument has a value that is not accepted, or that does not go with another argument.",
        "kertl.Stage(at=2.5)",
        "The message says what is accepted and what was received. `help(kertl.Stage)` and the reference list ranges.",
    ),
    "boundary": Code(
        "`at` names a layer group that the model does not have.",
        'kertl.freeze(model, "block_99")',
        "`kertl.layer_groups(model)` lists the groups. Pass a name of these, 'deep', 'mid', 'full', or a number.",
    ),
    "choice": Code(
        "An argument must be one of a few words, and it is another one, often by a typing error.",
        'kertl.Stage("deep", schedule="cosin")',
        "The message lists the words and the one that is nearest.",
    ),
    "classes": Code(
        "The classes of the model and those of the data are not the same, or in another order.",
        "kertl.fine_tune(model_of_two_classes, data_of_three_classes)",
        "Make the data with `class_names=` of the model, build a model for the classes of the data, or add classes "
        "with `kertl.extend_classes`.",
    ),
    "classifier": Code(
        "The part of a trained model that is reused, everything before its classifier, cannot be found in it.",
        "kertl.load_backbone(keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(), "
        "keras.layers.Dense(2)]))",
        "Cut it by hand: `keras.Model(model.input, model.get_layer(NAME).output)`, with the layer that gives features.",
    ),
    "combination": Code(
        "Things that are fine each by itself do not go together: recipe, model, data, callbacks, fields of a stage.",
        'kertl.Stage("deep", cache=False, views=4)',
        "The message says which. `kertl.check(model, data, recipe)` lists all clashes before anything is trained, with "
        "reasons; the page on compatibility has the rules.",
    ),
    "damaged": Code(
        "A file of a run, a search or a cache is missing, cut off or not what its checksum says.",
        "kertl verify runs/1   # after a disk failure",
        "Restore the named file. `kertl verify RUN` lists all that are damaged. A cache may be deleted: it is made "
        "again. A damaged checkpoint is passed over if the one before it is sound.",
    ),
    "data": Code(
        "The images or labels cannot be used for a reason that is peculiar to them.",
        'kertl.data.from_directory("broken/")',
        "The message names the image or the folder. `data.issues` lists what was left out, with reasons.",
    ),
    "disk": Code(
        "A file cannot be written: the disk is full, or the folder may not be written to.",
        "kertl train photos/ --out /full-disk/1",
        "Make room or choose another folder, and give the same command again: a run resumes. What was there before is "
        "untouched.",
    ),
    "diverged": Code(
        "The loss became NaN or infinite, usually because the learning rate is too high.",
        'kertl.fine_tune(model, data, recipe=kertl.Stage("full", learning_rate=1e6))',
        "Lower the learning rate, or pass learning_rate='auto'. The weights of the best epoch are kept.",
    ),
    "export": Code(
        "A model cannot be written in a format, or what was written does not load.",
        "kertl export runs/1 --format tfjs   # without its converter",
        "The message has what the converter said. Nothing was written. `kertl benchmark RUN` tries all formats.",
    ),
    "export-differs": Code(
        "An export was written and loaded again, and does not say what the model says.",
        "kertl export runs/1 --format litert --quantize int8",
        "Use float16 or no quantisation, or pass more images for the ranges of int8 (`--images`). Nothing was written.",
    ),
    "file-missing": Code(
        "There is no file of that name.",
        'kertl.load("nowhere.keras")',
        "Check the path; it is relative to the folder in which Python was started.",
    ),
    "image-file": Code(
        "An image file cannot be read, or changed after the data set was made.",
        'kertl.data.read_image("broken.jpg", (32, 32))',
        "Open it in another program, and save it again or remove it. When a data set is made, such files are left out "
        "and listed in `data.issues`.",
    ),
    "image-shape": Code(
        "Images have other axes, another size or number of channels than is expected, or are not as many as labels.",
        "kertl.data.from_arrays(numpy.zeros((4, 32, 32)), [0, 1, 0, 1])",
        "Images are (n, height, width, channels). Pass `image_size=` to bring them to one size, `channels=` for others "
        "than RGB, and `dataset.batch(32)` for single images.",
    ),
    "image-values": Code(
        "Pixels are not numbers of 0..255: NaN, text, or a range that looks like 0..1 or -1..1.",
        "kertl.data.from_arrays(numpy.full((4, 32, 32, 3), numpy.nan), [0, 1, 0, 1])",
        "Pass pixels of 0..255 as they come from files. Models of kertl have their preprocessing inside.",
    ),
    "kind": Code(
        "An argument is of a kind that is not accepted.",
        "kertl.extract(model, 'photos/')",
        "The message lists the accepted kinds. `kertl.data.from_directory` and the like make data from most forms.",
    ),
    "labels": Code(
        "Labels are missing, of another form than the task needs, or not those of the classes.",
        "kertl.data.from_arrays(images, [0, 1], class_names=['a', 'b'], task='multi_label')",
        "One class per image is `single_label`, several are `multi_label` (columns of 0 and 1, or names with a "
        "separator), numbers are `regression`. The message names the row and the column.",
    ),
    "memory": Code(
        "What was asked for does not fit into the free memory or on the free disk.",
        "kertl.data.from_dataset(train, image_size=(4096, 4096))",
        "Use a smaller `image_size`, read from files (`from_directory`, `from_csv`), pass `cache_dir=` or cache=False.",
    ),
    "missing-package": Code(
        "A package is needed that kertl does not install by itself.",
        "kertl serve runs/1   # without kertl[serve]",
        "The message has the command that installs it, such as pip install 'kertl[serve]'.",
    ),
    "model-file": Code(
        "A file is not a model that Keras can load, or not the one that is meant.",
        'kertl.load("README.md")',
        "Pass a .keras or .h5 file with a whole model, or a run directory. A file that holds weights alone goes to "
        "`weights=`, with the name of the backbone.",
    ),
    "no-images": Code(
        "No image was found where images were looked for.",
        'kertl.data.from_directory("empty/")',
        "One folder per class is expected, with images in it: photos/cat/1.jpg, photos/dog/2.jpg. A table needs a "
        "column of files and one of labels.",
    ),
    "not-functional": Code(
        "The model is subclassed or not built, so its layers cannot be read as a graph.",
        "kertl.layer_groups(keras.Sequential([keras.layers.Dense(1)]))",
        "Build it with an Input; write a subclassed model as a functional one, at least its backbone.",
    ),
    "position": Code(
        "A row, a view or a batch is asked for that does not exist.",
        "data.train.batch_rows(0, 10_000)",
        "The message says how many there are.",
    ),
    "range": Code(
        "A number is outside its range, is NaN, or is not a number.",
        'kertl.Stage("deep", epochs=0)',
        "The message says the range. A whole number must be an int: 5, not 5.0.",
    ),
    "run-differs": Code(
        "A directory holds a run, a search or predictions of something else: another recipe, model, data or options.",
        'kertl.fine_tune(model, data, recipe="mid", run_dir="runs/1")   # where recipe="deep" was run',
        "Choose another directory, or remove this one. The message says what differs. With nothing different, the same "
        "call resumes.",
    ),
    "run-directory": Code(
        "A directory is not that of a run, or cannot become one.",
        'kertl.fine_tune(model, data, run_dir="a-file.txt")',
        "Pass a directory that does not exist yet, is empty, or was written by `kertl.fine_tune`.",
    ),
    "run-in-use": Code(
        "Another process is at work in the same directory.",
        "kertl train photos/ --out runs/1   # twice at the same time",
        "Wait for it, stop it, or choose another directory. The message has its number. After a crash the lock is free "
        "at once.",
    ),
    "run-unfinished": Code(
        "A run has not finished, so it has no model or no results yet.",
        'kertl.load("runs/1")   # while it is still training',
        "Give the command that began it again: it resumes from its last checkpoint.",
    ),
    "search": Code(
        "A search has stopped because trials failed one after the other, or has no trial with a value.",
        'kertl.search.SearchResult.load("searches/1").best',
        "The message has the reason of the last failure. Mend the space, and give the same call again to resume.",
    ),
    "setup": Code(
        "What is installed, or the Keras backend, does not allow what was asked for.",
        "kertl compile runs/1   # with KERAS_BACKEND=tensorflow",
        "`kertl doctor` shows versions, backend and devices; constraints.txt has the versions that are tested.",
    ),
    "split": Code(
        "A class or group has too few images for the parts or folds that were asked for.",
        "kertl.data.from_arrays(images, labels, validation=0.4, test=0.5)   # with two images of a class",
        "Add images of that class, leave it out, ask for fewer parts (test=0) or folds, or larger shares.",
    ),
    "table": Code(
        "A CSV table cannot be read, or lacks a column.",
        'kertl.data.from_csv("labels.csv", label_column="lable")',
        "Save it as CSV in UTF-8, with one header line of different names. The message lists the columns there are.",
    ),
    "task": Code(
        "The model is for another task than the data, or does not reveal its task.",
        "kertl.fine_tune(model_of_classes, data_of_numbers)",
        "Pass the same `task=` to the data and to `kertl.build`; `kertl.model.describe` tells what a model is for.",
    ),
    "untrusted": Code(
        "A file holds code or layers that are not Keras' own, or declares sizes far beyond its own.",
        "kertl.load('lambda.keras')",
        "If you trust where it comes from, register its classes with Keras, name them with `--custom module:Class`, or "
        "load it with Keras yourself and pass the model. SECURITY.md says what is promised.",
    ),
    "usage": Code(
        "A command is called with an option or an argument that it does not have, without one that it needs, or with a "
        "value of another kind.",
        "kertl train photos/ --outt runs/1",
        "`kertl --help` lists the commands, `kertl COMMAND --help` the options of one and what they take.",
    ),
    "weights-download": Code(
        "Pretrained weights or photos cannot be downloaded.",
        'kertl.load_backbone("ResNet50", weights="imagenet")   # without a network',
        "Fetch the address in the message on a machine with a network, and pass the file as `weights=`, or put it "
        "where the message says.",
    ),
    "weights-fit": Code(
        "Weights are of another architecture than the model.",
        'kertl.load_backbone("ResNet50", weights="mobilenet.h5")',
        "Pass weights of the same network without its top: among the files of keras.applications the one whose name "
        "ends in notop.",
    ),
    "weights-nan": Code(
        "A weight of the model is NaN or infinite.",
        "kertl.fine_tune(model_that_diverged, data)",
        "Load the weights again from where they come from; if training made them so, train with a lower rate.",
    ),
    "workers": Code(
        "One of several workers has stopped or does not answer, or has other files or another call than the others.",
        "kertl train photos/ --out runs/1   # with different photos on two machines",
        "Start all of them again with the same files and the same call; the run resumes.",
    ),
}
