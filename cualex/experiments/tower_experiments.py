"""The paper's experiments on its network: towers, dropout, colour noise."""

from cualex.experiments.experiment import Arm, Experiment, Scale
from cualex.experiments.metrics import COLOURS, ERRORS
from cualex.training.recipes import DEMO, PAPER

TOWERS = DEMO.but(epochs=10, drop_epochs=())  # the paper's network on crops of 67, in batches of 64
DIFFERS = (
    "The paper trained on 1.2 million pictures of 1,000 classes, at 227 pixels and for 90 epochs. Here it is the same "
    "network on crops of 67 pixels, in batches of 64, on a few thousand pictures and for a few epochs."
)
FULL = Scale(PAPER, "The paper's network and recipe, on the data that is named.", seeds=1, falls=False)
SEEDS = (
    "A difference is worth something when it is several times its spread over seeds. It can say what the change does "
    "to a network that has seen this little; a network of 60 million parameters is then limited by pictures and time, "
    "not by its size, so a small or reversed difference here does not contradict the paper."
)

EXPERIMENTS = (
    Experiment(
        name="one-tower",
        title="What do two towers gain over one, which is half the network?",
        question="What is the test error of the two towers, and of one with half of their filters in conv1 to conv4?",
        section="3.2, and its note",
        paper="1.7 points more top-1 error and 1.2 more top-5 with one tower, on ImageNet",
        arms={
            "two-towers": Arm({"network": "alexnet"}, paper="0"),
            "one-tower": Arm({"network": "alexnet-one-tower"}, {"half": True}, paper="+1.7"),
        },
        measure=ERRORS,
        scale=Scale(TOWERS, DIFFERS, pictures=2_000, tested=2_000),
        full=FULL,
        reading=(
            f"{SEEDS} As in the paper, conv5 and the dense layers are not halved: both networks have about as many "
            "parameters, and the single tower sees all maps everywhere, which favours it."
        ),
    ),
    Experiment(
        name="no-exchange",
        title="What is lost where the towers never meet before the output?",
        question="What is the test error with the exchanges before conv3, fc6 and fc7, and without them?",
        section="3.2",
        paper="no figure in the paper; notes with its code have 1.2 points more top-1 error, and more filters in conv2",
        arms={
            "exchange": Arm(variant={"exchange": True}, paper="0"),
            "no-exchange": Arm(variant={"exchange": False}, paper="+1.2 (code)"),
        },
        measure=ERRORS,
        scale=Scale(TOWERS, DIFFERS, seeds=4, pictures=3_000, tested=2_500),
        full=FULL,
        reading=(
            f"{SEEDS} Without exchanges conv3, fc6 and fc7 have half of their weights, so that less is lost than "
            "crossing alone; the notes' network made up for some of it with 160 filters in each tower's share of conv2."
        ),
    ),
    Experiment(
        name="no-dropout",
        title="How much more does the network learn by heart without dropout?",
        question="What are the errors on test and on training pictures with dropout after fc6 and fc7, and without?",
        section="4.2",
        paper="no figure: 'substantial overfitting' without it, and about twice the iterations to converge with it",
        arms={
            "dropout": Arm({"dropout": 0.5}, rates=(0.003, 0.01), paper="0"),
            "no-dropout": Arm({"dropout": 0.0}, rates=(0.003, 0.01), paper="overfits"),
        },
        measure=ERRORS,
        scale=Scale(TOWERS.but(epochs=12), DIFFERS, seeds=3, pictures=2_000, tested=2_000),
        full=FULL,
        reading=(
            f"{SEEDS} Overfitting is the gap between the two errors; dropout slows learning, and a network that has "
            "not begun to overfit is only slower with it. It also bears a larger rate, so each arm has the better of "
            "two, chosen by the same test error. Errors are of the whole network, with no unit dropped."
        ),
    ),
    Experiment(
        name="no-colour-noise",
        title="What does noise along the components of colour gain?",
        question="What is the test error with colour noise of deviation 0.1, and without?",
        section="4.1",
        paper="more than one point less top-1 error with it, on ImageNet",
        arms={
            "colour-noise": Arm({"colour_noise": 0.1}, paper="0"),
            "no-colour-noise": Arm({"colour_noise": 0.0}, paper="+1 or more"),
        },
        measure=ERRORS,
        scale=Scale(TOWERS, DIFFERS, pictures=2_000, tested=2_000),
        full=FULL,
        reading=(
            f"{SEEDS} Noise, like all augmentation, helps a network that would learn its pictures by heart; in a few "
            "epochs it may cost as much as it gains. On the demo set colour is half of what tells the classes apart."
        ),
    ),
    Experiment(
        name="towers-specialise",
        title="Do the towers divide colour between them?",
        question="How coloured are the filters of conv1 in either tower, and would random halves be as far apart?",
        section="6.1, figure 3",
        paper="in every run the filters of one tower are largely grey and those of the other largely coloured",
        arms={"two-towers": Arm(paper="one grey, one coloured")},
        measure=COLOURS,
        scale=Scale(TOWERS, DIFFERS, pictures=10_000, tested=500),
        full=FULL,
        reading=(
            "Colour is the share of a filter's square that is not grey: 0 for grey, 0.67 on average for filters as "
            "they are drawn at first. The towers differ where few random halves of the same filters are as far apart, "
            "and that in most seeds. Filters move slowly: after a few thousand updates many are still close to what "
            "was drawn, so that no difference here says nothing about networks that were trained for weeks."
        ),
    ),
)
