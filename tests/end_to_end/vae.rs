//! Variational auto-encoders from config to samples.

use std::path::Path;

use snel_core::problem::Parametric;
use snel_train::model_file::ModelFile;

use crate::snel::Place;

const CONFIG: &str = r#"
seed = 3

[data]
path = "images.idx"
scale = 255
binarise = "fixed"

[model]
kind = "vae"
latent = 2
encoder = [12]
decoder = [10]
widths = [9, 9]
residual = true

[train]
steps = 60
batch = 40
samples = 70
valid_every = 30
valid_samples = 500

[eval]
samples = 2000
posterior_samples = 20
"#;

/// Images of 4 x 4 grey values with a bright row or column.
fn place() -> Place {
    let place = Place::new();
    let mut bytes = vec![0, 0, 8, 3];
    bytes.extend([300u32, 4, 4].iter().flat_map(|n| n.to_be_bytes()));
    for i in 0..300u32 {
        for cell in 0..16 {
            let (row, column) = (cell / 4, cell % 4);
            let line = if i.is_multiple_of(2) { row } else { column };
            bytes.push(if line == i / 2 % 4 { 240 } else { (i * 31 + cell * 7) as u8 % 40 });
        }
    }
    std::fs::write(place.path("images.idx"), bytes).unwrap();
    place.write("config.toml", CONFIG);
    place
}

/// Threads and workers leave the bytes of one thread, with every base density and both likelihoods.
#[test]
fn workers_leave_the_same_bytes() {
    let place = place();
    let gaussian =
        "model={ kind = 'vae', likelihood = 'gaussian', components = 3, encoder = [], latent = 3 }";
    for (name, set) in [
        ("energy", vec!["train.posterior_samples=2"]),
        ("mixture", vec![gaussian, "data={ path = 'images.idx', scale = 255 }"]),
        ("plain", vec!["model={ kind = 'vae', prior = 'base', latent = 2 }"]),
        (
            "chains",
            vec!["objective={ kind = 'mcmc', steps = 3, posterior_steps = 3, buffer = 140 }"],
        ),
    ] {
        let set: Vec<&str> = set.into_iter().flat_map(|set| ["--set", set]).collect();
        let run = |how: &[&str], out: &str| {
            let out = format!("{name}-{out}");
            place.ok(&[how, &["config.toml", "--out", &out], &set[..]].concat());
            (
                place.read(&format!("{out}/model.safetensors")),
                place.read(&format!("{out}/eval.json")),
            )
        };
        let one = run(&["train", "--threads", "1"], "one");
        assert!(run(&["train", "--threads", "3"], "three") == one, "{name}");
        assert!(run(&["launch", "--workers", "2"], "launched") == one, "{name}");
    }
}

#[test]
fn from_config_to_samples() {
    let place = place();
    let trained = place.ok(&["train", "config.toml", "--out", "run", "--json"]).json();
    let evaluation = &trained["evaluation"];
    let number = |key: &str| {
        let value = &evaluation["evaluation"][key];
        value.as_f64().or(value["value"].as_f64()).unwrap()
    };
    // The importance-weighted bound of the same samples is above SNELBO, by Jensen.
    assert!(number("snelbo") < number("importance"), "{evaluation}");
    assert!(number("importance") < 0.0);
    assert!(number("divergence") > 0.0);
    assert!(evaluation["log_det"].is_null(), "probabilities have no units");
    assert_eq!(place.ok(&["eval", "run", "--json"]).json(), *evaluation);
    for picture in ["samples", "reconstructions", "latent", "bounds"] {
        assert!(place.path(&format!("run/plots/{picture}.svg")).exists(), "{picture}");
    }
    assert!(place.path("run/report.html").exists());

    let draw = ["sample", "run", "-n", "30", "--pool", "400", "--langevin", "4", "--json"];
    let table = |name: &str| -> Vec<f64> {
        let text = String::from_utf8(place.read(name)).unwrap();
        text.lines().skip(1).flat_map(|l| l.split(',').map(|v| v.parse().unwrap())).collect()
    };
    let summary = place.ok(&[&draw[..], &["--out", "drawn.csv"]].concat()).json();
    assert_eq!((summary["points"].as_u64(), summary["pool"].as_u64()), (Some(30), Some(400)));
    let drawn = table("drawn.csv");
    assert_eq!(drawn.len(), 30 * 16);
    assert!(drawn.iter().all(|v| *v == 0.0 || *v == 255.0), "draws in original units");
    place.ok(&[&draw[..], &["--out", "means.csv", "--means"]].concat());
    assert!(table("means.csv").iter().all(|v| *v > 0.0 && *v < 255.0));

    place
        .snel(&["score", "run", "--data", "images.idx", "--out", "scores.csv"])
        .refuses(2, &["vae", "snel sample"]);
}

/// The example on MNIST, some steps of it: the bound is far above that of a model without a latent space,
/// for which values are independent (about -206 nats), and the same for two workers.
#[test]
fn the_example_on_mnist_learns() {
    let mnist = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/mnist");
    if !Path::new(mnist).exists() {
        eprintln!("skipped: there is no {mnist}");
        return;
    }
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/vae-mnist.toml");
    let place = Place::new();
    let mut set = vec![
        format!("data.train={mnist}/train-images-idx3-ubyte.gz"),
        format!("data.test={mnist}/t10k-images-idx3-ubyte.gz"),
    ];
    for short in [
        "train.steps=200",
        "train.valid_every=200",
        "train.valid_samples=1000",
        "eval.samples=10_000",
        "eval.posterior_samples=2",
    ] {
        set.push(short.to_owned());
    }
    let set: Vec<&str> = set.iter().flat_map(|set| ["--set", set.as_str()]).collect();
    let run = |how: &[&str], out: &str| {
        let output = place.ok(&[how, &[example, "--out", out, "--json"], &set[..]].concat());
        (output, place.read(&format!("{out}/model.safetensors")))
    };
    let (trained, model) = run(&["train"], "one");
    let snelbo = trained.json()["evaluation"]["evaluation"]["snelbo"]["value"].as_f64().unwrap();
    assert!((-180.0..-90.0).contains(&snelbo), "{snelbo}");
    assert!(run(&["launch", "--workers", "2"], "two").1 == model);
}

/// The energy is trained on top of another run, whose networks stay as they are; another model is
/// refused.
#[test]
fn post_hoc_leaves_the_networks_as_they_are() {
    let place = place();
    let plain =
        "model={ kind = 'vae', prior = 'base', latent = 2, encoder = [12], decoder = [10] }";
    place.ok(&["train", "config.toml", "--out", "plain", "--set", plain]);
    let set = ["--set", "model.start=plain"];
    place.ok(&[&["train", "config.toml", "--out", "energy"], &set[..]].concat());
    let model =
        |run: &str| ModelFile::load(&place.path(&format!("{run}/model.safetensors"))).unwrap();
    let (plain, energy) = (model("plain"), model("energy"));
    let tensor = |model: &ModelFile, name: &str| {
        let layout = model.header.model.layout();
        let segment = layout.segments().iter().find(|s| s.name == name).unwrap();
        model.parameters[segment.range()].to_vec()
    };
    for name in ["encoder.layers.0.weight", "decoder.output.bias"] {
        assert_eq!(tensor(&plain, name), tensor(&energy, name), "{name}");
    }
    assert!(plain.b() == 0.0 && energy.b() != 0.0, "a plain model has no normaliser");
    let wider = [&["train", "config.toml", "--out", "no", "--set", "model.latent=3"], &set[..]];
    place.snel(&wider.concat()).refuses(65, &["cannot start from", "differ"]);
}

/// A model that was trained gives images nearer to real ones than one that was not, and both stand in a
/// comparison with what they have spent.
#[test]
fn training_brings_images_nearer() {
    let place = place();
    let held_out = "data={ train = 'images.idx', valid_rows = 60, test = 'images.idx', scale = 255, \
                    binarise = 'fixed' }";
    for (name, steps) in [("fresh", "train.steps=1"), ("trained", "train.steps=600")] {
        let set = ["--set", held_out, "--set", steps, "--set", "optim.lr=1e-2"];
        place.ok(&[&["train", "config.toml", "--out", name], &set[..]].concat());
    }
    let label = |i: u32| format!("{}\n", i % 2 * 4 + i / 2 % 4);
    place.write("labels.csv", &(0..300).map(label).collect::<String>());
    let measure = ["frechet", "fresh", "trained", "--labels", "labels.csv", "--json"];
    let report = place.ok(&measure).json();
    assert!(report["accuracy"].as_f64().unwrap() > 0.9, "{report}");
    let of = |run: usize| &report["runs"][run]["distance"];
    let [fresh, trained] = [0, 1].map(|run| of(run)["value"].as_f64().unwrap());
    let se = of(1)["se"].as_f64().unwrap();
    assert!(trained + 5.0 * se < fresh && report["real"].as_f64().unwrap() < trained, "{report}");
    assert_eq!(place.ok(&[&measure[..], &["--threads", "1"]].concat()).json(), report);

    let compared = place.ok(&["compare", "fresh", "trained", "--json"]).json();
    let interval = &compared["runs"][1]["evaluated"]["standardised"]["interval"];
    assert!(interval[0].as_f64().unwrap() < interval[1].as_f64().unwrap(), "{compared}");

    place.write("few.csv", "1\n2\n");
    place.snel(&["frechet", "fresh", "--labels", "few.csv"]).refuses(65, &["few.csv", "2 labels"]);
}
