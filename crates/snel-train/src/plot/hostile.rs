//! Tests that any numbers and any names give a valid picture.

use proptest::prelude::*;

use super::*;

/// Finite and not, tiny and huge, and often equal.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -10.0..10.0f64,
        1 => any::<f64>(),
        1 => prop::sample::select(vec![
            f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0, 1e300, -1e149, 1e149,
            5e-324, f64::MAX,
        ]),
    ]
}

fn numbers(n: usize) -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        prop::collection::vec(number(), 0..n),
        (number(), 0..n).prop_map(|(v, n)| vec![v; n]),
    ]
}

fn steps(n: usize) -> impl Strategy<Value = Vec<(u64, f64)>> {
    prop::collection::vec((prop_oneof![0..1000u64, any::<u64>()], number()), 0..n)
}

/// The text is SVG, and no coordinate in it is out of the page's reach.
fn valid(svg: &Result<String, PlotError>) -> Result<(), TestCaseError> {
    let svg = match svg {
        Ok(svg) => svg,
        Err(e) => return Err(TestCaseError::fail(e.to_string())),
    };
    let tree = resvg::usvg::Tree::from_str(svg, &resvg::usvg::Options::default());
    prop_assert!(tree.is_ok(), "{:?}\n{svg}", tree.err());
    let page = tree.map(|t| t.size().to_rect(0.0, 0.0)).ok().flatten();
    prop_assert!(page.is_some());
    prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    prop_assert!(!svg.contains("2147483647") && !svg.contains("-2147483648"), "{svg}");
    prop_assert!(!svg.contains(" id="), "ids would clash in one page");
    Ok(())
}

const HOSTILE: &str = "</svg></script><img src=x onerror=\"alert('1')\">&\u{0}\u{1b}Ẑ";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_numbers_give_valid_curves(a in steps(200), b in steps(20), y in number()) {
        let validation = b.iter().map(|&(step, v)| Interval { step, lower: v, upper: v + 1.0 });
        let curves = Bounds {
            train: a.clone(),
            validation: validation.collect(),
            yardsticks: vec![Yardstick { name: HOSTILE.into(), nats: y }; 3],
            units: HOSTILE.into(),
        };
        valid(&bounds(&curves))?;
        valid(&ess(&a))?;
        let points = a.iter().map(|&(step, v)| NormaliserPoint { step, b: v, log_z: -v });
        valid(&log_normaliser(&points.collect::<Vec<_>>()))?;
    }

    #[test]
    fn any_numbers_give_valid_trends(a in numbers(60), b in numbers(60)) {
        let pairs: Vec<_> = a.iter().copied().zip(b.iter().copied()).collect();
        let trend = Trend {
            name: HOSTILE.into(),
            measured: pairs.iter().map(|&(x, y)| Measured { x, y, se: x * y }).collect(),
            theory: pairs,
        };
        valid(&scaling(&Scaling { title: "t", axes: ["x", "y"], trends: vec![trend; 7] }))?;
    }

    #[test]
    fn any_numbers_give_valid_densities(
        values in numbers(60), data in numbers(120), edges in prop::array::uniform4(number()),
    ) {
        valid(&log_weights(&values))?;
        let curve: Vec<_> = data.iter().copied().zip(values.iter().copied()).collect();
        let slice = Slice1d {
            name: HOSTILE.into(), data: data.clone(), learned: curve.clone(), truth: Some(curve),
        };
        valid(&slice_1d(&slice))?;
        let learned = Grid { nx: values.len(), ny: 1, log_density: values.clone() };
        let density = Density2d {
            conditional: false,
            names: [HOSTILE.into(), String::new()],
            x: [edges[0], edges[1]],
            y: [edges[2], edges[3]],
            truth: Some(learned.clone()),
            learned,
            data: data.chunks_exact(2).map(|p| [p[0], p[1]]).collect(),
            shade: Shade::LogDensity,
        };
        valid(&density_2d(&density))?;
        valid(&pit(&values))?;
        let shares: Vec<_> = values.iter().zip(&data).map(|(&a, &b)| (a, b)).collect();
        valid(&coverage(&shares))?;
    }

    #[test]
    fn any_rows_give_a_valid_corner(
        width in 1usize..12, data in numbers(300), model in numbers(300),
    ) {
        let whole = |rows: Vec<f64>| rows[..rows.len() / width * width].to_vec();
        let names = vec![HOSTILE.into(); width];
        valid(&corner(&Corner { names, data: whole(data), model: whole(model), ..Corner::default() }))?;
    }
}

#[test]
fn tables_that_are_not_what_they_say_are_refused() {
    let names = vec!["a".into(), "b".into()];
    let wrong = corner(&Corner { names, data: vec![0.0; 3], ..Corner::default() });
    let told = wrong.unwrap_err().to_string();
    assert_eq!(told, "the data should hold rows of 2 columns, but holds 3 values");
    let grid = Grid { nx: 2, ny: 2, log_density: vec![0.0; 5] };
    let wrong = density_2d(&Density2d { learned: grid, ..Density2d::default() });
    let told = wrong.unwrap_err().to_string();
    assert_eq!(told, "the learned density should hold 2 x 2 values, but holds 5 values");
}

#[test]
fn nothing_is_no_data_yet() {
    let empty = [
        bounds(&Bounds::default()),
        ess(&[(3, f64::NAN), (4, 0.0)]),
        log_normaliser(&[]),
        log_weights(&[]),
        slice_1d(&Slice1d::default()),
        density_2d(&Density2d::default()),
        corner(&Corner::default()),
        scaling(&Scaling::default()),
    ];
    for svg in empty {
        assert!(svg.unwrap().contains("no data yet"));
    }
}

#[test]
fn the_embedded_font_draws_the_words() {
    // Without a font the words would be missing and the picture pure white.
    let svg = "<svg xmlns='http://www.w3.org/2000/svg' width='60' height='20' \
               font-family='Inter, sans-serif'><rect width='60' height='20' fill='#fff'/>\
               <text x='2' y='15' font-size='14'>log Ẑ</text></svg>";
    let png = to_png(svg, 2.0).unwrap();
    let map = resvg::tiny_skia::Pixmap::decode_png(&png).unwrap();
    assert_eq!((map.width(), map.height()), (120, 40));
    let inked = map.pixels().iter().filter(|p| p.red() < 128).count();
    assert!(inked > 100, "{inked} dark pixels");
    assert!(to_png("<svg", 1.0).is_err());
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e6] {
        assert!(to_png(svg, scale).is_err(), "{scale}");
    }
}
