//! What `to_toml` writes parses back to an equal config, and writes the same again.

use proptest::prelude::*;

use crate::config::Config;

fn any_of(choices: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(choices).prop_map(str::to_owned)
}

fn positive() -> impl Strategy<Value = f64> {
    prop_oneof![1e-12..1e6, Just(f64::MIN_POSITIVE), Just(f64::MAX), Just(5e-324), Just(1.0 / 3.0)]
}

/// Positive numbers within the bounds of rates and scales.
fn moderate() -> impl Strategy<Value = f64> {
    prop_oneof![0.1..1e3, Just(1e3), Just(1.0 / 3.0)]
}

fn data() -> impl Strategy<Value = String> {
    let path = "[^\\p{C}\"\\\\]{1,12}";
    prop_oneof![
        (10..1_000_000_000_u32, 1..65_536_u32)
            .prop_map(|(rows, dim)| format!("{{ toy = 'gaussian', rows = {rows}, dim = {dim} }}")),
        (path, 0.01..0.9, any::<bool>(), 0..9_u8).prop_map(|(path, train, header, column)| {
            let (valid, test) = (0.5 * (1.0 - train), 0.5 * (1.0 - train));
            format!(
                "{{ path = \"{path}.csv\", split = [{train}, {valid}, {test}], header = {header}, \
                 delimiter = \"\\t\", columns = [{column}, \"ä\"] }}"
            )
        }),
        (path, path).prop_map(|(path, member)| format!(
            "{{ path = \"{path}.npz\", member = \"{member}\" }}"
        )),
        (path, path, path).prop_map(|(a, b, c)| format!(
            "{{ train = \"{a}\", valid = \"{b}\", test = \"{c}\", standardise = false }}"
        )),
    ]
}

fn density() -> impl Strategy<Value = String> {
    let kind = prop_oneof![
        any_of(&["kind = 'gaussian'", "kind = 'diagonal', scale = 2", "kind = 'uniform'"]),
        (moderate(), moderate())
            .prop_map(|(df, scale)| format!("kind = 'student', df = {df:?}, scale = {scale:?}")),
        (0.0..10.0).prop_map(|margin: f64| format!("kind = 'uniform', margin = {margin:?}")),
        (1..65_536_u32)
            .prop_map(|n| format!("kind = 'mixture', components = {n}, covariance = 'diagonal'")),
    ];
    (kind, 0.0..1.0, 2..1_000_000_000_u32).prop_map(|(kind, defensive, rows): (_, f64, _)| {
        format!("{{ {kind}, defensive = {defensive:?}, fit_rows = {rows} }}")
    })
}

fn model() -> impl Strategy<Value = String> {
    let energy = prop_oneof![
        any_of(&["energy = 'quadratic'", "residual = true", "activation = 'gelu', depth = 64"]),
        prop::collection::vec(1..65_536_u32, 1..64)
            .prop_map(|widths| format!("widths = {widths:?}")),
    ];
    let base = prop_oneof![any_of(&["'none'", "'proposal'"]), density()];
    (energy, base).prop_map(|(energy, base)| format!("{{ {energy}, base = {base} }}"))
}

fn optim() -> impl Strategy<Value = String> {
    let algorithm = prop_oneof![
        any_of(&["algorithm = 'adam'", "algorithm = 'adamw'"]),
        moderate().prop_map(|decay| format!("weight_decay = {decay:?}")),
    ];
    let schedule = prop_oneof![
        any_of(&["schedule = 'constant'", "schedule = 'cosine'", "schedule = 'step'"]),
        (0.0..=1.0)
            .prop_map(|floor: f64| format!("schedule = 'cosine', final_lr_ratio = {floor:?}")),
        (1..1_u64 << 40)
            .prop_map(|every| format!("schedule = 'step', step_every = {every}, step_factor = 1")),
    ];
    (algorithm, schedule, moderate(), prop::option::of(positive())).prop_map(
        |(algorithm, schedule, lr, clip)| {
            let clip = clip.map(|clip| format!(", clip_norm = {clip:?}")).unwrap_or_default();
            format!("{{ {algorithm}, {schedule}, lr = {lr:?}{clip} }}")
        },
    )
}

fn overrides() -> impl Strategy<Value = Vec<String>> {
    let train = (1..=1_u64 << 40, 1..=1_u64 << 32, any::<bool>()).prop_map(|(m, n, some)| {
        let more = if some { ", chunk = 1024, patience = 1e3" } else { "" };
        format!("{{ samples = {m}, batch = {n}{more} }}")
    });
    let name = "[^\\p{C}/\\\\.\"]{1,20}".prop_map(|name| format!("\"{name}\""));
    (data(), model(), density(), optim(), train, name, any::<u32>()).prop_map(
        |(data, model, proposal, optim, train, name, seed)| {
            vec![
                format!("data={data}"),
                format!("model={model}"),
                format!("proposal={proposal}"),
                format!("optim={optim}"),
                format!("train={train}"),
                format!("name={name}"),
                format!("seed={seed}"),
            ]
        },
    )
}

proptest! {
    #[test]
    fn a_resolved_config_survives_writing_and_parsing(overrides in overrides()) {
        let config = Config::parse("", "x.toml", &overrides);
        prop_assert!(config.is_ok(), "{}", config.unwrap_err());
        let config = config.unwrap();
        let written = config.to_toml();
        let again = Config::parse(&written, "y.toml", &[]);
        prop_assert!(again.is_ok(), "{}\n{written}", again.unwrap_err());
        let again = again.unwrap();
        prop_assert_eq!(&again, &config);
        prop_assert_eq!(again.to_toml(), written);
    }
}

#[test]
fn every_default_is_written_out() {
    let config = Config::parse("data.toy = 'rings'", "first/rings.toml", &[]).unwrap();
    let expected = r#"name = "rings"
seed = 0

[data]
toy = "rings"
rows = 10000
dim = 2
split = [0.8, 0.1, 0.1]
standardise = true
memory_limit_mib = 1024

[model]
kind = "density"
energy = "mlp"
depth = 3
width = 128
activation = "silu"
residual = false
base = "proposal"

[proposal]
kind = "gaussian"
scale = 1.0
defensive = 0.0
fit_rows = 100000

[objective]
kind = "snl"

[optim]
algorithm = "adamw"
lr = 0.001
b_lr = 0.005
weight_decay = 0.01
beta1 = 0.9
beta2 = 0.999
epsilon = 0.00000001
clip_norm = 10.0
schedule = "cosine"
warmup = 0
final_lr_ratio = 0.0

[train]
steps = 10000
batch = 256
samples = 1024
valid_every = 500
valid_samples = 100000
checkpoint_every = 1000
keep = 3
min_ess = 0.001

[eval]
samples = 1000000
split = "test"

[output]
dir = "runs/rings"
tensorboard = true
report = true

[cluster]
"#;
    assert_eq!(config.to_toml(), expected);
}
