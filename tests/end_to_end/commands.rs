//! Each command does what its help says, and `--json` prints one document.

use std::fs;

use crate::snel::Place;

/// A run on a file of three columns of known, correlated normals.
fn trained_on(file: &str) -> Place {
    let place = Place::new();
    let columns = ["first", "second", "third"].map(str::to_owned);
    snel_data::write_rows(&place.path(file), &columns, &rows(900)).unwrap();
    place.write(
        "run.toml",
        &format!(
            "[data]\npath = \"{file}\"\n[model]\nenergy = \"quadratic\"\nbase = \"none\"\n\
             [proposal]\nscale = 1.3\n[optim]\nlr = 0.02\nb_lr = 0.02\n\
             [train]\nsteps = 1500\nbatch = 720\nsamples = 1000\nvalid_samples = 2000\n\
             [eval]\nsamples = 20000\n[output]\nreport = false\ntensorboard = false\n"
        ),
    );
    place.ok(&["train", "run.toml", "--out", "run"]);
    place
}

fn rows(n: u64) -> Vec<f64> {
    use snel_core::density::Draws;
    use snel_core::philox::{Key, Stream};
    let mut rows = Vec::new();
    for i in 0..n {
        let mut z = [0.0; 3];
        Draws::new(Key::new(1, Stream::Toy), 0, i).normals(&mut z);
        rows.extend([10.0 + 2.0 * z[0], z[0] + 0.5 * z[1], 100.0 * z[2] - z[1]]);
    }
    rows
}

#[test]
fn formats_of_the_same_numbers_give_the_same_model() {
    let csv = trained_on("x.csv").read("run/model.safetensors");
    for file in ["x.npy", "x.parquet"] {
        let place = trained_on(file);
        let model = place.read("run/model.safetensors");
        if file == "x.parquet" {
            assert!(model == csv, "{file}");
        } else {
            // An npy file has no column names; the weights follow the header.
            let inspect = |bytes: &[u8]| bytes[bytes.len() - 40..].to_vec();
            assert!(inspect(&model) == inspect(&csv), "{file}");
        }
    }
}

/// A quadratic energy trained by maximum likelihood is the Gaussian with the rows' moments, so the
/// scores are those of that Gaussian. Training noise of the last steps is about 0.01 in a
/// log-density; rows beyond four sigma would magnify it, and there are none in 900.
#[test]
fn scores_are_log_densities() {
    let place = trained_on("x.csv");
    // Columns in another order and one more: found by name.
    let data = rows(50);
    let shuffled: Vec<f64> = data.chunks(3).flat_map(|r| [r[2], 7.5 + r[0], r[0], r[1]]).collect();
    let names = ["third", "other", "first", "second"].map(str::to_owned);
    snel_data::write_rows(&place.path("new.csv"), &names, &shuffled).unwrap();
    let out = place.ok(&[
        "score",
        "run",
        "--data",
        "new.csv",
        "--out",
        "s.csv",
        "--samples",
        "20000",
        "--json",
    ]);
    let text = fs::read_to_string(place.path("s.csv")).unwrap();
    let scores: Vec<f64> = text.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    assert_eq!((text.lines().next(), scores.len()), (Some("log_density"), 50));
    let mean = scores.iter().sum::<f64>() / 50.0;
    assert!((out.json()["mean_log_density"].as_f64().unwrap() - mean).abs() < 1e-9);
    let side: serde_json::Value = serde_json::from_slice(&place.read("s.csv.json")).unwrap();
    assert!(side["log_z_interval"][0].as_f64() < side["log_z_interval"][1].as_f64());
    // The density that the rows were drawn from. With n = 720 rows the fitted 1/2 log det has a
    // standard error of sqrt(3 / 2n) = 0.05, and each squared deviate one of sqrt(2 / n) = 0.05 of
    // itself: three of both.
    for (score, row) in scores.iter().zip(data.chunks(3)) {
        let z0 = (row[0] - 10.0) / 2.0;
        let z1 = (row[1] - z0) / 0.5;
        let z2 = (row[2] + z1) / 100.0;
        let squares = z0 * z0 + z1 * z1 + z2 * z2;
        let exact = -0.5 * squares - 1.5 * std::f64::consts::TAU.ln() - (2.0f64 * 0.5 * 100.0).ln();
        assert!((score - exact).abs() < 0.15 + 0.15 * squares, "{score} {exact}");
    }
    place.ok(&[
        "score",
        "run/model.safetensors",
        "--data",
        "x.csv",
        "--out",
        "s.npy",
        "--samples",
        "2000",
    ]);
    place
        .snel(&["score", "run", "--data", "s.csv", "--out", "t.csv", "--samples", "2000"])
        .refuses(65, &["first", "second", "third"]);
}

/// Moments of 4,000 points within six standard errors of the rows' own.
#[test]
fn samples_have_the_moments_of_the_data() {
    let place = trained_on("x.csv");
    for extra in [&[][..], &["--langevin", "10"]] {
        let args = [&["sample", "run", "-n", "4000", "--out", "p.npy", "--json"], extra].concat();
        let document = place.ok(&args).json();
        assert!(document["ess_fraction"].as_f64().unwrap() > 0.1);
        let mut source =
            snel_data::open(&place.path("p.npy"), &snel_data::ReadOptions::default()).unwrap();
        let (mut all, mut chunk) = (Vec::new(), Vec::new());
        while source.next_chunk(&mut chunk).unwrap() > 0 {
            all.extend_from_slice(&chunk);
        }
        assert_eq!(all.len(), 12_000);
        for (column, (mean, sd)) in
            [(10.0, 2.0), (0.0, 1.25f64.sqrt()), (0.0, 100.005)].iter().enumerate()
        {
            let found = all.iter().skip(column).step_by(3).sum::<f64>() / 4000.0;
            // The model's own mean is that of 720 rows.
            let error = sd * (1.0 / 4000.0 + 1.0 / 720.0f64).sqrt();
            assert!((found - mean).abs() < 6.0 * error, "{column}: {found} {mean}");
        }
    }
}

#[test]
fn every_report_is_one_json_document() {
    let place = Place::with_small();
    let trained = place.ok(&["train", "small.toml", "--out", "run", "--json"]).json();
    assert_eq!(trained["outcome"], "finished");
    let interval = &trained["evaluation"]["standardised"]["interval"];
    assert!(interval[0].as_f64() <= interval[1].as_f64());
    let eval = place.ok(&["eval", "run", "--json", "--split", "valid"]).json();
    assert_eq!(
        (eval["split"].as_str(), eval["units"].as_str()),
        (Some("valid"), Some("nats a row"))
    );
    assert!(eval["yardsticks"].as_array().unwrap().iter().any(|y| y["name"] == "true density"));
    assert!(eval.get("annealed").is_none());
    let eval = place.ok(&["eval", "run", "--json", "--anneal", "60", "--chains", "400"]).json();
    let (plain, annealed) = (&eval["standardised"], &eval["annealed"]["standardised"]);
    let log_z = |of: &serde_json::Value| of["log_z"]["value"].as_f64().unwrap();
    let se = annealed["log_z"]["se"].as_f64().unwrap();
    assert!(se < 0.1 && (log_z(plain) - log_z(annealed)).abs() < 5.0 * se, "{eval}");
    place.snel(&["eval", "run", "--chains", "400"]).refuses(2, &["--anneal"]);
    assert_eq!(
        place.ok(&["plan", "small.toml", "--json"]).json()["parameters"],
        2 * 12 + 12 + 12 * 12 + 12 + 12 + 1
    );
    let model = place.ok(&["inspect", "run/model.safetensors", "--json"]).json();
    assert_eq!(model["format"], "snel model 1");
    let checkpoint = "run/checkpoints/step-00000120.safetensors";
    assert_eq!(place.ok(&["inspect", checkpoint, "--json"]).json()["step"], 120);
    place.write("d.csv", "a,b\n1,2\n3,4\n");
    let data = place.ok(&["inspect", "d.csv", "--json"]).json();
    assert_eq!((&data["rows"], &data["columns"][1]["mean"]), (&2.into(), &3.0.into()));
}

#[test]
fn runs_of_different_objectives_stand_side_by_side() {
    let place = Place::with_small();
    place.ok(&["train", "small.toml", "--out", "snl"]);
    place.ok(&["train", "small.toml", "--out", "nce", "--set", "objective.kind=nce"]);
    let document = place.ok(&["compare", "snl", "nce", "--json"]).json();
    let runs = document["runs"].as_array().unwrap();
    assert_eq!(runs[1]["settings"]["objective.kind"], "\"nce\"");
    // Equal work a step and equally many steps: within that budget is where both ended.
    let by_energies = &document["budgets"][0];
    for (run, standing) in runs.iter().zip(by_energies["standings"].as_array().unwrap()) {
        assert_eq!(standing["spent"], run["now"]["spent"]);
        assert!(standing["interval"][0].as_f64() <= standing["interval"][1].as_f64());
        assert_eq!(run["evaluated"]["split"], "test");
    }
    let printed = place.ok(&["compare", "snl", "nce"]).stdout;
    assert!(printed.contains("objective.kind = \"nce\""), "{printed}");
    place.snel(&["compare", "snl", "nothing"]).refuses(2, &["nothing", "config.toml"]);
}

/// Kustomize and Slurm read these in `.ci/deploy`.
#[test]
fn a_plan_is_rendered_for_other_places() {
    let place = Place::with_small();
    std::fs::rename(place.path("small.toml"), place.path("Two Words.toml")).unwrap();
    let render = |goal: &str, more: &[&str]| {
        let args = ["plan", "Two Words.toml", "--threads", "2", "--workers", "3", "--render", goal];
        place.ok(&[&args[..], more].concat()).stdout
    };
    let overlay = render("kubernetes", &[]);
    for line in [
        "files: [\"run.toml=Two Words.toml\"]",
        "path: /metadata/name, value: two-words}",
        "completions, value: 3}",
        "limits: {cpu: \"2\", memory: 576Mi}",
    ] {
        assert!(overlay.contains(line), "{line}: {overlay}");
    }
    let job = "sbatch --ntasks=3 --cpus-per-task=2 --mem-per-cpu=288M";
    let script = "deploy/slurm/cpu.sbatch 'Two Words.toml'\n";
    assert_eq!(render("slurm", &[]), format!("{job} {script}"));
    // The run has 54 MFLOP: 18 seconds for three workers of a MFLOP/s, of which the double is one minute.
    let limited = render("slurm", &["--gflops", "0.001"]);
    assert_eq!(limited, format!("{job} --time=0:11:00 {script}"));
    place.snel(&["plan", "Two Words.toml", "--workers", "3"]).refuses(2, &["--render"]);
    place.snel(&["plan", "x", "--render", "slurm", "--gflops", "0"]).refuses(2, &["above 0"]);
}

#[test]
fn doctor_tells_what_there_is_and_how_to_get_the_rest() {
    let place = Place::with_small();
    let found = place.ok(&["doctor", "--json"]).json();
    assert!(found["cores"].as_u64() >= Some(1));
    let libraries = found["libraries"].as_array().unwrap();
    assert_eq!(libraries.len(), 4);
    for library in libraries {
        // Either it is there, or there is a way to get it.
        assert_eq!(library["found"] == true, library["remedy"].is_null(), "{library}");
    }
    let text = place.ok(&["doctor"]).stdout;
    for library in libraries.iter().filter(|library| library["found"] == false) {
        assert!(text.contains(library["remedy"].as_str().unwrap()), "{library}");
    }
    assert!(text.contains("GPU"), "{text}");
}

/// No machine has so many GPUs.
#[test]
fn a_launch_names_gpus_that_are_there() {
    let place = Place::with_small();
    let launch = ["launch", "small.toml", "--out", "run"];
    let with = |more: &[&str]| place.snel(&[&launch[..], more].concat());
    with(&["--gpus", "first"]).refuses(2, &["0,1,3"]);
    with(&["--gpus", "all", "--workers", "2"]).refuses(2, &["--workers"]);
    with(&["--nccl"]).refuses(2, &["--gpus"]);
    with(&["--gpus", "99"]).refuses(2, &["GPU", "snel doctor"]);
    assert!(!place.path("run").exists());
}

#[test]
fn a_device_that_is_not_there_is_refused_and_leaves_nothing() {
    let place = Place::with_small();
    let train = |device| ["train", "small.toml", "--out", "run", "--device", device];
    place.snel(&train("cuda:4095")).refuses(2, &["snel doctor", "--device cpu"]);
    assert!(!place.path("run").exists());
    assert_eq!(place.snel(&train("gpu")).code, 2);
    assert_eq!(place.snel(&["worker", "--gpu", "0", "--device", "cpu"]).code, 2);
    place.snel(&["worker", "--gpu", "4095"]).refuses(2, &["GPU", "snel doctor"]);
    place.snel(&["bench", "step", "--device", "cuda:4095"]).refuses(2, &["--device cpu"]);
}

#[test]
fn a_run_leaves_its_pictures_and_report() {
    let place = Place::with_small();
    place.ok(&["train", "small.toml", "--out", "run", "--set", "output.report=true"]);
    for name in ["bounds", "ess", "log-normaliser", "log-weights", "density"] {
        let svg = String::from_utf8(place.read(&format!("run/plots/{name}.svg"))).unwrap();
        assert!(svg.contains("<svg") && !svg.contains("no data yet"), "{name}");
        assert!(place.read(&format!("run/plots/{name}.png")).starts_with(b"\x89PNG"), "{name}");
    }
    let report = String::from_utf8(place.read("run/report.html")).unwrap();
    assert!(report.contains("nats a row") && !report.contains("src=\"http"));
    fs::remove_file(place.path("run/report.html")).unwrap();
    place.ok(&["plot", "run"]);
    assert!(place.path("run/report.html").exists());
    for name in ["config.toml", "metrics.jsonl", "eval.json", "model.safetensors"] {
        assert!(place.path("run").join(name).exists(), "{name}");
    }
    let events = fs::read_dir(place.path("run")).unwrap();
    let is_events = |name: &str| name.starts_with("events.out.tfevents.");
    assert!(events.into_iter().any(|e| is_events(&e.unwrap().file_name().to_string_lossy())));
}

/// A file of `rows` black images of 28 x 28 values, as that of MNIST.
fn black_images(place: &Place, name: &str, rows: u32) -> String {
    let mut bytes = vec![0, 0, 8, 3];
    bytes.extend([rows, 28, 28].iter().flat_map(|n| n.to_be_bytes()));
    bytes.resize(bytes.len() + rows as usize * 28 * 28, 0);
    fs::write(place.path(name), bytes).unwrap();
    place.path(name).display().to_string()
}

/// The shipped examples are sound configs on sound data, and so are those on data that users bring.
#[test]
fn examples_are_sound() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let place = Place::new();
            let mut plan = vec!["plan".to_owned(), path.display().to_string()];
            if path.ends_with("vae-mnist.toml") {
                for (key, rows) in [("train", 10_300), ("test", 20)] {
                    let file = black_images(&place, &format!("{key}.idx"), rows);
                    plan.extend(["--set".to_owned(), format!("data.{key}={file}")]);
                }
            }
            place.ok(&plan.iter().map(String::as_str).collect::<Vec<_>>());
            count += 1;
        }
    }
    assert!(count >= 5, "{count} examples");
}
