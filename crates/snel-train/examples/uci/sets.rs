//! The data sets and the settings of their runs.
//!
//! Settings were chosen by the bound on validation rows of splits of other seeds, from 101 on.

/// The same for every run. A run takes a few minutes at most: no checkpoints.
pub(crate) const COMMON: &str = r#"
[data]
split = [0.8, 0.1, 0.1]

[model]
kind = "conditional"

[train]
checkpoint_every = 1000000

[output]
tensorboard = false
report = false
"#;

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// An energy that tilts its proposal, trained by SNL.
    Energy,
    /// A mixture density network alone.
    Mixture,
    /// A network that gives one Gaussian.
    Gaussian,
}

/// In the order of the table.
pub(crate) const METHODS: [Method; 3] = [Method::Energy, Method::Mixture, Method::Gaussian];

impl Method {
    /// As folders and the table have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Energy => "energy",
            Self::Mixture => "mixture",
            Self::Gaussian => "gaussian",
        }
    }
}

/// A data set and the settings of its runs.
pub(crate) struct Set {
    /// Of its file, without `.csv`.
    pub(crate) name: &'static str,
    /// The column to predict.
    pub(crate) target: &'static str,
    /// The targets are whole numbers.
    pub(crate) whole_numbers: bool,
    /// Splits, of seeds 1 to this.
    pub(crate) seeds: u32,
    /// Units of each of the two hidden layers of every network.
    width: u32,
    steps: u32,
    batch: u32,
    valid_every: u32,
    /// The proposal of the energy, and the base that it tilts.
    proposal: Proposal,
    energy: Chosen,
    mixture: Chosen,
    gaussian: Chosen,
}

/// A mixture with a wide Student-t mixed in.
enum Proposal {
    /// The network of [`Method::Mixture`], trained beside the energy.
    Network { defensive: f64 },
    /// Fitted to the training targets, the same for every row of inputs: the energy does it all.
    Fixed { defensive: f64 },
}

/// What was chosen for each method by itself.
struct Chosen {
    lr: f64,
    weight_decay: f64,
    components: u32,
    /// Function after each hidden layer.
    activation: &'static str,
}

/// The tables.
pub(crate) const SETS: [Set; 5] = [
    Set {
        name: "yacht",
        target: "resistance",
        whole_numbers: false,
        seeds: 20,
        width: 50,
        steps: 4000,
        batch: 32,
        valid_every: 100,
        proposal: Proposal::Network { defensive: 0.002 },
        energy: Chosen { lr: 0.01, weight_decay: 0.01, components: 1, activation: "silu" },
        mixture: Chosen { lr: 0.01, weight_decay: 0.01, components: 2, activation: "silu" },
        gaussian: Chosen { lr: 0.01, weight_decay: 0.01, components: 1, activation: "silu" },
    },
    Set {
        name: "concrete",
        target: "strength",
        whole_numbers: false,
        seeds: 20,
        width: 50,
        steps: 4000,
        batch: 32,
        valid_every: 100,
        proposal: Proposal::Network { defensive: 0.02 },
        energy: Chosen { lr: 0.01, weight_decay: 0.01, components: 4, activation: "silu" },
        mixture: Chosen { lr: 0.01, weight_decay: 0.01, components: 4, activation: "silu" },
        gaussian: Chosen { lr: 0.01, weight_decay: 0.01, components: 1, activation: "silu" },
    },
    Set {
        name: "wine-white",
        target: "quality",
        whole_numbers: true,
        seeds: 20,
        width: 64,
        steps: 4000,
        batch: 64,
        valid_every: 200,
        proposal: Proposal::Fixed { defensive: 0.002 },
        energy: Chosen { lr: 0.01, weight_decay: 0.2, components: 16, activation: "relu" },
        mixture: Chosen { lr: 0.01, weight_decay: 0.3, components: 8, activation: "relu" },
        gaussian: Chosen { lr: 0.003, weight_decay: 0.3, components: 1, activation: "silu" },
    },
    Set {
        name: "power-plant",
        target: "PE",
        whole_numbers: false,
        seeds: 20,
        width: 64,
        steps: 6000,
        batch: 128,
        valid_every: 500,
        proposal: Proposal::Network { defensive: 0.02 },
        energy: Chosen { lr: 0.003, weight_decay: 0.01, components: 8, activation: "silu" },
        mixture: Chosen { lr: 0.01, weight_decay: 0.01, components: 8, activation: "silu" },
        gaussian: Chosen { lr: 0.01, weight_decay: 0.01, components: 1, activation: "silu" },
    },
    Set {
        name: "protein",
        target: "RMSD",
        whole_numbers: false,
        seeds: 5,
        width: 64,
        steps: 10_000,
        batch: 128,
        valid_every: 1000,
        proposal: Proposal::Network { defensive: 0.02 },
        energy: Chosen { lr: 0.01, weight_decay: 0.01, components: 8, activation: "silu" },
        mixture: Chosen { lr: 0.01, weight_decay: 0.01, components: 8, activation: "silu" },
        gaussian: Chosen { lr: 0.01, weight_decay: 0.01, components: 1, activation: "silu" },
    },
];

impl Set {
    /// What a run has besides [`COMMON`], as `KEY=VALUE`.
    pub(crate) fn settings(&self, method: Method) -> Vec<String> {
        let Self { width, steps, batch, valid_every, .. } = self;
        let Chosen { lr, weight_decay, components, activation } = match method {
            Method::Energy => &self.energy,
            Method::Mixture => &self.mixture,
            Method::Gaussian => &self.gaussian,
        };
        let mut settings = vec![
            format!("data.targets=[\"{}\"]", self.target),
            format!("model.features=[{width}, {width}]"),
            format!("model.widths=[{width}, {width}]"),
            format!("model.activation={activation}"),
            format!("proposal.components={components}"),
            format!("optim.lr={lr}"),
            format!("optim.weight_decay={weight_decay}"),
            format!("train.steps={steps}"),
            format!("train.batch={batch}"),
            format!("train.valid_every={valid_every}"),
        ];
        let network = [
            "proposal.kind=mdn".to_owned(),
            "proposal.loss=likelihood".to_owned(),
            format!("proposal.widths=[{width}, {width}]"),
        ];
        if method == Method::Energy {
            settings.extend(match self.proposal {
                Proposal::Network { defensive } => {
                    [network.to_vec(), vec![format!("proposal.defensive={defensive}")]].concat()
                }
                Proposal::Fixed { defensive } => vec![
                    "proposal.kind=mixture".to_owned(),
                    format!("proposal.defensive={defensive}"),
                ],
            });
            settings.push("train.samples=32".to_owned());
            settings.push("train.valid_samples=128".to_owned());
        } else {
            // A network that is only pretrained is the model: the energy stays zero, every weight
            // one, and both bounds are its log-likelihood, however few the samples.
            settings.extend(network);
            settings.push(format!("proposal.pretrain={steps}"));
            settings.push("train.samples=1".to_owned());
            settings.push("train.valid_samples=2".to_owned());
        }
        settings
    }
}
