use super::*;
use crate::perceptron::{Linear, Perceptron};
use crate::problem::AnyModel;

fn model() -> VaeModel {
    VaeModel {
        inputs: 7,
        encoder: vec![6, 5],
        decoder: vec![4],
        activation: Activation::Silu,
        likelihood: Likelihood::Gaussian { deviation: None },
        base: LatentBase::Mixture { components: 3 },
        energy: Energy::Mlp {
            dim: 2,
            widths: vec![8, 8],
            activation: Activation::Tanh,
            residual: true,
        },
        posterior_samples: 2,
        frozen: false,
    }
}

#[test]
fn places_agree_with_the_layout() {
    let model = model();
    let (layout, networks) = (model.layout(), VaeNetworks::new(&model));
    let find = |name: &str| {
        let segment = layout.segments().iter().find(|s| s.name == name);
        segment.unwrap_or_else(|| panic!("{name}"))
    };
    let check = |linear: &Linear, name: String| {
        let (weight, bias) = (find(&format!("{name}.weight")), find(&format!("{name}.bias")));
        assert_eq!((linear.layer.weight, linear.layer.bias), (weight.offset, bias.offset));
        assert_eq!(weight.shape, [linear.layer.outputs, linear.layer.inputs], "{name}");
    };
    let net = |net: &Perceptron, group: &str| {
        for (i, linear) in net.hidden.iter().enumerate() {
            check(linear, format!("{group}.layers.{i}"));
        }
        check(&net.output.unwrap(), format!("{group}.output"));
    };
    net(&networks.encoder, "encoder");
    net(&networks.decoder, "decoder");
    assert_eq!(find("energy.layers.0.weight").offset, 0);
    assert_eq!(networks.log_deviation, Some(find("decoder.log_deviation").offset));
    let base = networks.base.unwrap();
    assert_eq!(base.start, find("base.logits").offset);
    assert_eq!(base.end, layout.b());
}

#[test]
fn only_the_energy_of_a_frozen_model_is_trained() {
    let model = VaeModel { frozen: true, ..model() };
    for segment in model.layout().segments() {
        let energy = segment.name.starts_with("energy");
        assert_eq!(segment.is_trained(), energy || segment.name == "b", "{}", segment.name);
        assert_eq!(segment.of_prior, energy);
    }
}

#[test]
fn it_survives_json() {
    let any = AnyModel::from(model());
    let text = serde_json::to_string(&any).unwrap();
    assert_eq!(serde_json::from_str::<AnyModel>(&text).unwrap(), any);
}

#[test]
fn unsound_models_are_refused() {
    assert_eq!(model().check(), Ok(()));
    let mut models = vec![model(); 5];
    models[0].encoder[0] = 0;
    models[1].inputs = 0;
    models[2].posterior_samples = 0;
    models[3].likelihood = Likelihood::Gaussian { deviation: Some(-1.0) };
    models[4].base = LatentBase::Mixture { components: 0 };
    assert!(models.iter().all(|model| model.check().is_err()));
}

/// The mixture as a density, and the parameters that go with it.
#[test]
fn the_prior_is_a_density_model() {
    let model = model();
    let parameters = model.initial_parameters(3);
    let prior = model.prior(&parameters);
    assert_eq!(prior.check(), Ok(()));
    let own = model.prior_parameters(&parameters);
    assert_eq!(own.len(), prior.layout().len());
    assert_eq!(own, prior.initial_parameters(3));
}
