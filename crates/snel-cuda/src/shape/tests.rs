use super::*;

fn energy(dim: usize, widths: &[usize]) -> Energy {
    Energy::Mlp { dim, widths: widths.to_vec(), activation: Activation::Silu, residual: false }
}

fn plan(dim: usize, widths: &[usize], precision: Precision) -> Shape {
    let settings = Settings { precision, ..Settings::default() };
    // What a block of compute capability 9.0 may have.
    Shape::plan(&energy(dim, widths), &settings, 232_448).unwrap()
}

#[test]
fn small_networks_live_in_shared_memory() {
    let shape = plan(8, &[64, 64], Precision::Bf16);
    assert_eq!((shape.tile, shape.threads), (64, 128));
    let all = Placement { weights_shared: true, tiles_shared: true, sums_in_registers: true };
    assert_eq!(shape.placement, all);
    let shape = plan(16, &[128; 3], Precision::Bf16);
    assert_eq!((shape.tile, shape.threads), (64, 256));
    assert_eq!(shape.placement, all);
    let more = Placement { sums_in_registers: false, ..all };
    assert_eq!(plan(64, &[128; 3], Precision::Bf16).placement, more);
}

#[test]
fn wide_networks_spill_to_global_memory() {
    let shape = plan(784, &[1024; 3], Precision::Fp32);
    assert!(!shape.placement.weights_shared && !shape.placement.tiles_shared);
    assert!(shape.sizes().shared < 232_448);
}

#[test]
fn what_cannot_be_is_refused() {
    let quadratic = Shape::plan(&Energy::Quadratic { dim: 2 }, &Settings::default(), 1 << 20);
    assert_eq!(quadratic, Err(ShapeError::Quadratic));
    let settings = Settings { tile: Some(64), threads: Some(32), ..Settings::default() };
    let odd = Shape::plan(&energy(2, &[8]), &settings, 1 << 20);
    assert_eq!(odd, Err(ShapeError::Setting { tile: 64, threads: 32 }));
    let huge = Shape::plan(&energy(2, &[1 << 20; 2]), &Settings::default(), 1 << 20);
    assert!(matches!(huge, Err(ShapeError::TooLarge { .. })));
    let none = Shape::plan(&energy(2, &[8]), &Settings::default(), 512);
    assert!(matches!(none, Err(ShapeError::SharedMemory { .. })));
}

/// The list that CI compiles for real architectures is what the engine would compile: each
/// line is the plan for the network that it names.
#[test]
fn the_list_of_specialisations_is_planned() {
    let list = include_str!("../../../../kernels/specialisations.txt");
    let mut count = 0;
    for line in list.lines().filter(|l| l.contains("-D")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let value = |name: &str| {
            let prefix = format!("-D{name}=");
            words.iter().find_map(|w| w.strip_prefix(prefix.as_str())).unwrap()
        };
        let widths = value("SNEL_WIDTHS").split(',').map(|w| w.parse().unwrap()).collect();
        let energy = Energy::Mlp {
            dim: value("SNEL_DIM").parse().unwrap(),
            widths,
            activation: Activation::ALL[value("SNEL_ACTIVATION").parse::<usize>().unwrap()],
            residual: value("SNEL_RESIDUAL") == "1",
        };
        let precision = Precision::ALL[value("SNEL_PRECISION").parse::<usize>().unwrap()];
        let layerwise = Some(value("SNEL_LAYERWISE") == "1");
        let settings = Settings { precision, layerwise, ..Settings::default() };
        let shape = Shape::plan(&energy, &settings, 232_448).unwrap();
        let program = shape.program();
        let planned = program.definitions.iter().map(|(n, v)| format!("-D{n}={v}"));
        assert_eq!(words, planned.collect::<Vec<_>>());
        count += 1;
    }
    assert!(count > 5);
}
