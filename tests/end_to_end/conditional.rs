//! Conditional models from config to predictions.

use crate::snel::Place;

const CONFIG: &str = r#"
seed = 3

[data]
path = "rows.csv"
targets = ["y"]

[model]
kind = "conditional"
features = [12]
widths = [12]

[proposal]
kind = "mdn"
components = 3
widths = [12]
pretrain = 20
defensive = 0.1

[train]
steps = 80
batch = 32
samples = 16
valid_every = 40

[eval]
samples = 200
"#;

/// `y` is near `a` plus `b`; it stands between its inputs.
fn place() -> Place {
    let place = Place::new();
    let row = |i: u32| {
        let (a, b) = (f64::from(i * 37 % 101) / 50.0, f64::from(i * 53 % 97) / 48.0);
        let noise = f64::from(i * 71 % 89) / 890.0;
        format!("{a},{},{b}\n", a + b + noise)
    };
    let rows: String = std::iter::once("a,y,b\n".to_owned()).chain((0..400).map(row)).collect();
    place.write("rows.csv", &rows);
    place.write("config.toml", CONFIG);
    place
}

/// Threads and workers leave the bytes of one thread, for every objective and kind of proposal.
#[test]
fn workers_leave_the_same_bytes() {
    for (i, objective) in ["snl", "is-mle", "nce"].into_iter().enumerate() {
        let proposal = [
            "proposal={ kind = 'mdn', components = 2, pretrain = 10 }",
            "proposal={ kind = 'observed' }",
            "proposal={ kind = 'student' }",
        ][i];
        let objective = format!("objective.kind={objective}");
        let set = ["--set", &objective, "--set", proposal];
        // A base density of `y` of its own keeps the normaliser finite.
        let base = ["--set", "model.base={ kind = 'student' }"];
        let run = |how: &[&str], out: &str, place: &Place| {
            place.ok(&[how, &["config.toml", "--out", out], &set[..], &base[..]].concat());
            place.read(&format!("{out}/model.safetensors"))
        };
        let place = place();
        let one = run(&["train", "--threads", "1"], "one", &place);
        assert!(run(&["train", "--threads", "3"], "three", &place) == one, "{objective}");
        assert!(run(&["launch", "--workers", "2"], "launched", &place) == one, "{objective}");
        assert!(place.read("launched/eval.json") == place.read("one/eval.json"));
    }
}

#[test]
fn from_config_to_predictions() {
    let place = place();
    let trained = place.ok(&["train", "config.toml", "--out", "run", "--json"]).json();
    let evaluation = &trained["evaluation"];
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let (lower, upper) = (
        number(&evaluation["standardised"]["lower"]["value"]),
        number(&evaluation["standardised"]["upper"]["value"]),
    );
    assert!(lower <= upper, "{evaluation}");
    assert_eq!(evaluation["standardised"]["targets"][0]["name"], "y");
    assert!(number(&evaluation["quadrature"]["rows"]) > 0.0);
    assert_eq!(place.ok(&["eval", "run", "--json"]).json(), *evaluation);
    for picture in ["pit", "coverage", "bounds"] {
        assert!(place.path(&format!("run/plots/{picture}.svg")).exists(), "{picture}");
    }
    assert!(place.path("run/report.html").exists());

    place.write("new.csv", "b,a\n0.5,1.0\n1.5,0.2\n");
    let predict =
        ["predict", "run", "--data", "new.csv", "--out", "out.csv", "--quantiles", "0.1,0.9"];
    let summary = place.ok(&[&predict[..], &["--density", "grid.csv", "--json"]].concat()).json();
    assert_eq!(summary["rows"], 2);
    let table = |name: &str| -> Vec<Vec<String>> {
        let text = String::from_utf8(place.read(name)).unwrap();
        text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
    };
    let rows = table("out.csv");
    let names = [
        "y_mean",
        "y_median",
        "y_mode",
        "y_q0.1",
        "y_q0.9",
        "y_low",
        "y_high",
        "effective_samples",
    ];
    assert_eq!(rows[0], names);
    assert_eq!(rows.len(), 3);
    for row in &rows[1..] {
        let v: Vec<f64> = row.iter().map(|v| v.parse().unwrap()).collect();
        assert!(v[3] <= v[1] && v[1] <= v[4] && v[5] < v[6], "{row:?}");
    }
    // Densities on the grid integrate to about one: it spans the samples, and has 200 nodes.
    let grid = table("grid.csv");
    assert_eq!((grid[0].join(","), grid.len()), ("row,y,density".to_owned(), 401));
    let of_row = |row: &str| -> f64 {
        let nodes: Vec<[f64; 2]> = grid[1..]
            .iter()
            .filter(|line| line[0].parse::<f64>().unwrap() == row.parse::<f64>().unwrap())
            .map(|line| [line[1].parse().unwrap(), line[2].parse().unwrap()])
            .collect();
        nodes.windows(2).map(|w| (w[1][0] - w[0][0]) * 0.5 * (w[0][1] + w[1][1])).sum()
    };
    for row in ["0", "1"] {
        let total = of_row(row);
        assert!((total - 1.0).abs() < 0.1, "{total}");
    }
}

/// Where the targets are there, the mean of the rows' intervals is that of an evaluation.
#[test]
fn rows_have_intervals_of_their_own() {
    let place = place();
    place.ok(&["train", "config.toml", "--out", "run", "--set", "train.steps=40"]);
    let predict = ["predict", "run", "--data", "rows.csv", "--out", "out.csv", "--samples", "200"];
    place.ok(&predict);
    let text = String::from_utf8(place.read("out.csv")).unwrap();
    let mut lines = text.lines();
    assert!(lines.next().unwrap().ends_with("effective_samples,log_density_low,log_density_high"));
    let rows: Vec<[f64; 2]> = lines
        .map(|line| {
            let values: Vec<f64> = line.split(',').map(|v| v.parse().unwrap()).collect();
            [values[values.len() - 2], values[values.len() - 1]]
        })
        .collect();
    assert_eq!(rows.len(), 400);
    assert!(rows.iter().all(|[low, high]| low <= high));
    let mean = |end: usize| rows.iter().map(|row| row[end]).sum::<f64>() / 400.0;
    let mut weighted = [0.0; 2];
    for (split, share) in [("train", 0.8), ("valid", 0.1), ("test", 0.1)] {
        let report = place.ok(&["eval", "run", "--split", split, "--json"]).json();
        weighted[0] += share * report["original"]["lower"].as_f64().unwrap();
        weighted[1] += share * report["original"]["upper"].as_f64().unwrap();
    }
    // Rows' own errors are wider than that of the mean: 1.96 of a row's, about a tenth of a nat.
    assert!(mean(0) < weighted[0] && weighted[0] - mean(0) < 0.5, "{} {weighted:?}", mean(0));
    assert!(mean(1) > weighted[1] && mean(1) - weighted[1] < 0.5, "{} {weighted:?}", mean(1));
}

#[test]
fn what_a_conditional_model_cannot_do_is_refused() {
    let place = place();
    place.ok(&["train", "config.toml", "--out", "run", "--set", "train.steps=10"]);
    place.write("new.csv", "q\n1\n");
    let file = ["--data", "rows.csv", "--out", "out.csv"];
    place.snel(&[&["score", "run"], &file[..]].concat()).refuses(2, &["conditional", "predict"]);
    place.snel(&["sample", "run", "-n", "3", "--out", "o.csv"]).refuses(2, &["conditional"]);
    let other = ["predict", "run", "--data", "new.csv", "--out", "out.csv"];
    place.snel(&other).refuses(65, &["new.csv", "a, b", "missing"]);
    let gpu = ["train", "config.toml", "--out", "gpu", "--device", "cuda:0"];
    place.snel(&gpu).refuses(2, &["conditional", "cuda:0", "--device cpu"]);
    let unknown = ["train", "config.toml", "--out", "no", "--set", "data.targets=['z']"];
    place.snel(&unknown).refuses(65, &["z"]);
    let all = ["train", "config.toml", "--out", "no", "--set", "data.targets=['a','b','y']"];
    place.snel(&all).refuses(65, &["rows.csv", "target"]);
}
