"""The paper's experiments, by name."""

import difflib

from cualex.errors import UsageError
from cualex.experiments import tower_experiments
from cualex.experiments.experiment import Arm, Experiment, Scale
from cualex.experiments.metrics import EPOCHS, ERRORS, UPDATES, epochs_to
from cualex.training.recipes import CIFAR, LARS, LENET, PAPER

FOUR_LAYERS = CIFAR.but(decay=0.0005, drop_epochs=())
BARE = FOUR_LAYERS.but(decay=0.0, augment=False, schedule="steps")  # no regularisation, and one rate throughout
LARGE = 512  # 16 times the batch of LENET
SMALL = (
    "The paper's figure is for ImageNet: 1.2 million pictures, eight layers, 90 epochs. Here it is a network of four "
    "layers, as in the paper's own runs on CIFAR-10, on pictures of 32x32, fewer of them and for a few epochs."
)
SEEDS = (
    "A difference is worth something when it is several times its spread over seeds. Its sign and rough size at this "
    "scale are what it can say; it cannot say what the figure on ImageNet is."
)

_EXPERIMENTS = (
    Experiment(
        name="relu-against-tanh",
        title="How much sooner does a network with ReLU learn than its twin with tanh?",
        question="After how many epochs does each network come to 40 % training error, on raw and on scaled images?",
        section="3.1, figure 1",
        paper="six times faster with ReLU, on CIFAR-10, four layers, no regularisation, each at its own best rate",
        arms={
            "relu": Arm({"network": "cifar-relu"}, {"inputs": "raw"}, rates=(0.001,), paper="1"),
            "tanh": Arm({"network": "cifar-tanh"}, {"inputs": "raw"}, rates=(0.032,), paper="6"),
            "relu-scaled": Arm({"network": "cifar-relu"}, {"inputs": "scaled"}, rates=(0.016,)),
            "tanh-scaled": Arm({"network": "cifar-tanh"}, {"inputs": "scaled"}, rates=(0.032,)),
        },
        measure=epochs_to(40.0),
        full_measure=EPOCHS,
        scale=Scale(
            BARE.but(epochs=24, variant={"norm": "none", "width": 0.5, "pools": "average"}),
            "The paper gives neither network, batch, rates nor how images were scaled. Here are raw grey levels less "
            "their mean, and the same divided by 64 with initial weights that make it the same function; pool2 and "
            "pool3 take averages, as in cuda-convnet's files. Of a search over conditions and rates (--results) this "
            "is the setting that differs most. Error is that of 2,500 of the training images after an epoch; a run "
            "ends when it is at 40 %, or when its epochs are over.",
            pictures=5_000,
            tested=2_500,
            falls=False,
        ),
        full=Scale(
            BARE.but(epochs=60, variant={"norm": "none", "width": 0.5, "pools": "average"}),
            "The paper gives neither network, batch, rates nor how images were scaled. The error here is that of all "
            "training images after an epoch.",
            falls=False,
        ),
        reading=(
            "It shows that tanh needs scaled images, and that ReLU does not; it is no reproduction of six. Raw images "
            "drive tanh's first layer into saturation, where it hardly learns, and the layers above need a rate of "
            "their own; scaled images, or max-pooling throughout, leave no difference. Rates are the best of a search "
            "by factors of two. With fewer images an epoch has fewer updates; the ratio is what compares."
        ),
    ),
    Experiment(
        name="normalisation",
        title="Does response normalisation lower the error, and what else would?",
        question="What is the test error without normalisation, with that of the paper, and with two others?",
        section="3.3",
        paper="without it 1.4 points more top-1 error on ImageNet; 13 and 11 % test error on CIFAR-10 without and with",
        arms={
            "across": Arm(variant={"norm": "across-unscaled"}, rates=(0.01, 0.03), paper="0"),
            "none": Arm(variant={"norm": "none"}, rates=(0.01, 0.03), paper="+2 on CIFAR-10, +1.4"),
            "within": Arm(variant={"norm": "within-unscaled"}, rates=(0.01, 0.03)),
            "batch": Arm(variant={"norm": "batch"}, rates=(0.01, 0.03)),
        },
        measure=ERRORS,
        scale=Scale(FOUR_LAYERS.but(epochs=4), SMALL, seeds=5, pictures=6_000, tested=2_500),
        full=Scale(PAPER, "The paper's network and recipe, on the data that is named.", seeds=1, falls=False),
        reading=(
            f"{SEEDS} Across and within have the paper's numbers (k=2, n=5, beta=0.75), but an alpha that is 64^2 "
            "times the paper's 1e-4, for the pictures of this network are divided by 64: with 1e-4 both hardly do "
            "more than divide by 2^0.75. Normalising also makes signals smaller, which alone slows a network down: so "
            "each arm has the better of two rates, chosen by the same test error. Batch normalisation is later than "
            "the paper (2015)."
        ),
    ),
    Experiment(
        name="non-overlapping-pooling",
        title="Do pools that overlap lower the error?",
        question="What is the test error with windows of 3x3 by 2, and with windows of 2x2 by 2?",
        section="3.4",
        paper="0.4 points more top-1 error on ImageNet, 0.3 more top-5, with windows that do not overlap",
        arms={
            "overlapping": Arm(variant={"pool": 3}, paper="0"),
            "non-overlapping": Arm(variant={"pool": 2}, paper="+0.4"),
        },
        measure=ERRORS,
        scale=Scale(FOUR_LAYERS.but(epochs=6), SMALL, pictures=5_000, tested=2_500),
        full=Scale(PAPER, "The paper's network and recipe, on the data that is named.", seeds=1, falls=False),
        reading=(
            f"{SEEDS} The paper's difference is so small that three seeds on a few thousand test pictures will hardly "
            "tell it from nothing: the error of a share of 40 % of 2,500 is a point. Maps have the same sizes in both, "
            "and windows of two leave a row and a column unread where the side is odd."
        ),
    ),
    *tower_experiments.EXPERIMENTS,
    Experiment(
        name="initial-weights",
        title="With which initial weights does the network leave ln C, and when?",
        question="After how many updates is the mean loss of ten updates below 0.95 ln C?",
        section="5, and the code of 2012",
        paper="0.01 in all layers; the code has 0.03 in conv3 to conv5. Neither says when the loss began to fall",
        arms={
            "2012": Arm(variant={"initial": "2012"}),
            "paper": Arm(variant={"initial": "paper"}),
            "glorot": Arm(variant={"initial": "glorot"}),
        },
        measure=UPDATES,
        scale=Scale(
            PAPER.but(batch=32, colour_noise=0.0, schedule="steps"),
            "The paper's network at 227 pixels, in batches of 32, not 128, and on the data that is named. A run ends "
            "when it has left ln C, or when its epochs are over.",
            pictures=10_000,
            tested=50,
            updates=100,
            least=1_600,
            falls=False,
        ),
        full=Scale(
            PAPER.but(schedule="steps"),
            "The paper's network and batch, on the data that is named.",
            tested=1000,
            updates=10_000,
            falls=False,
        ),
        reading=(
            "It can say which weights begin to learn first at this rate, and which do not within so many updates; not "
            "which of them end lower. That one never left does not mean that it never would: with 1,000 classes and "
            "1.2 million pictures the authors' networks had weeks. Losses are looked at every ten updates."
        ),
    ),
    Experiment(
        name="large-batches",
        title="Does LARS train at 16 times the batch, where SGD at a scaled rate does not?",
        question="What is the test error at a batch of 32, and as many epochs at 512 with scaled SGD and with LARS?",
        section="5",
        paper=(
            "batches of 128 throughout. You, Gitman and Ginsburg (2017), AlexNet on ImageNet: 58.7 % top-1 at 512; at "
            "4,096 58.5 % with LARS and 53.1 % without"
        ),
        arms={
            "usual": Arm({"batch": 32}, paper="0"),
            "sgd-scaled": Arm({"batch": LARGE, "warmup": 1.0}, rates=(0.16, 0.5), paper="+5.6"),
            "lars": Arm({"batch": LARGE, "warmup": 1.0, **LARS}, rates=(10.0, 20.0, 40.0), paper="+0.2"),
        },
        measure=ERRORS,
        scale=Scale(
            LENET.but(epochs=12, schedule="poly", drop_epochs=(), augment=False),
            f"LeNet-5, which is quick, on a few thousand pictures for twelve epochs. At {LARGE} pictures there is a "
            "sixteenth of the updates, a few dozen in all. SGD has the rate by linear scaling and three times that, "
            "LARS larger rates than on ImageNet, as each update moves the weights by a share of their norm.",
            least=LARGE,
            falls=False,
        ),
        full=Scale(
            PAPER.but(schedule="poly", epochs=100, batch=512, colour_noise=0.0),
            "The paper's network on the data that is named; batches are those of the arms.",
            falls=False,
        ),
        reading=(
            f"{SEEDS} Each large batch has the best of its rates, chosen by the same test error. Few updates limit "
            "all large batches here, more than they do in 100 epochs of ImageNet: an error as low as the usual batch's "
            "is not to be expected, only an order between LARS and scaled SGD."
        ),
    ),
    Experiment(
        name="pre-training",
        title="Does pre-training without labels help where labelled images are few?",
        question="What is the test error from drawn weights, and from layers that learned to give back what they read?",
        section="4, whose ways are augmentation and dropout",
        paper="no figure: the paper trains from drawn weights, on 1.2 million images",
        arms={
            "scratch": Arm(paper="0"),
            "auto-encoder": Arm(pretrained=True),
        },
        measure=ERRORS,
        scale=Scale(
            FOUR_LAYERS.but(epochs=10, augment=False, variant={"width": 0.5, "norm": "none"}),
            "The lectures name the way and no figure. Each of the three convolutions in turn is trained to give back "
            "what it reads, with a decoder of its own that is thrown away, on images without their labels; all of them "
            "and a new dense layer are then trained on few labelled images, as from drawn weights.",
            pictures=500,
            tested=2_000,
            least=1_000,
            unlabelled=(5_000, 200),
        ),
        full=Scale(
            FOUR_LAYERS.but(epochs=30, augment=False),
            "The same at full width, on 5,000 labelled images and all others without labels.",
            pictures=5_000,
            unlabelled=(10**9, 3_000),
        ),
        reading=(
            f"{SEEDS} Both arms have the same drawn weights before, and the same order of images after. What an "
            "auto-encoder learns serves all that is in an image, not what tells classes apart. Pre-training costs more "
            "time than the training itself; with as much time, or with augmentation, drawn weights may do as well."
        ),
    ),
)


def names() -> list[str]:
    """Return the names of all experiments."""
    return [experiment.name for experiment in _EXPERIMENTS]


def find(name: str) -> Experiment:
    """Return an experiment by its name; raise UsageError for an unknown one."""
    for experiment in _EXPERIMENTS:
        if experiment.name == name:
            return experiment
    close = difflib.get_close_matches(name, names(), 1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise UsageError(f"no experiment is called {name!r}; there are {', '.join(names())}.{hint}")
