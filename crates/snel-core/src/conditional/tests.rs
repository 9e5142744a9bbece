use super::*;
use crate::density::{Affine, Scale};
use crate::perceptron::{Linear, Perceptron};

fn model() -> ConditionalModel {
    let at = Affine { mean: vec![0.0; 2], scale: Scale::Diagonal(vec![1.0; 2]) };
    let defensive = Some(Defensive { weight: 0.1, density: Density::Gaussian { at } });
    let network = MixtureNetwork {
        widths: vec![6],
        components: 3,
        loss: MixtureLoss::Kl,
        pretrain: 7,
        defensive,
    };
    ConditionalModel {
        inputs: 3,
        targets: 2,
        activation: Activation::Tanh,
        features: vec![5, 4],
        energy: vec![7, 8],
        log_normaliser: vec![9],
        base: Base::Proposal,
        proposal: ConditionalProposal::Network(network),
    }
}

#[test]
fn places_agree_with_the_layout() {
    let model = model();
    let (layout, networks) = (model.layout(), Networks::new(&model));
    let find = |name: &str| {
        let segment = layout.segments().iter().find(|s| s.name == name);
        segment.unwrap_or_else(|| panic!("{name}"))
    };
    let check = |linear: &Linear, weight: &str, bias: Option<&str>| {
        assert_eq!(linear.layer.weight, find(weight).offset, "{weight}");
        assert_eq!(linear.layer.outputs * linear.layer.inputs, find(weight).len(), "{weight}");
        assert_eq!(linear.layer.bias, linear.layer.weight + find(weight).len(), "{weight}");
        assert_eq!(linear.biased, bias.is_some());
        if let Some(bias) = bias {
            assert_eq!(
                (linear.layer.bias, linear.layer.outputs),
                (find(bias).offset, find(bias).len())
            );
        }
    };
    let hidden = |net: &Perceptron, group: &str, first: usize| {
        for (i, linear) in net.hidden.iter().enumerate().skip(first) {
            let name = |part| format!("{group}.layers.{i}.{part}");
            check(linear, &name("weight"), Some(&name("bias")));
        }
    };
    hidden(&networks.features, "features", 0);
    check(&networks.energy.hidden[0], "energy.layers.0.target", None);
    check(&networks.offset, "energy.layers.0.features", Some("energy.layers.0.bias"));
    hidden(&networks.energy, "energy", 1);
    check(&networks.energy.output.unwrap(), "energy.output.weight", None);
    hidden(&networks.log_normaliser, "log_normaliser", 0);
    check(&networks.log_normaliser.output.unwrap(), "log_normaliser.output.weight", None);
    let proposal = networks.proposal.unwrap();
    hidden(&proposal, "proposal", 0);
    let output = proposal.output.unwrap();
    check(&output, "proposal.output.weight", Some("proposal.output.bias"));
    assert_eq!(output.layer.bias + output.layer.outputs, layout.b());
    assert_eq!(output.layer.outputs, 3 * (1 + 2 * 2));
}

#[test]
fn kinds_are_told_apart_in_json() {
    use crate::problem::AnyModel;
    let any = AnyModel::from(model());
    let text = serde_json::to_string(&any).unwrap();
    assert_eq!(serde_json::from_str::<AnyModel>(&text).unwrap(), any);
    assert_eq!(serde_json::from_str::<ConditionalModel>(&text).unwrap(), model());
}

#[test]
fn unsound_models_are_refused() {
    assert_eq!(model().check(), Ok(()));
    let mut models = vec![model(); 4];
    models[0].energy.clear();
    models[1].targets = 3;
    models[2].features[0] = 0;
    let at = Affine { mean: vec![0.0; 2], scale: Scale::Diagonal(vec![1.0; 2]) };
    let noise = Density::Gaussian { at };
    models[3].proposal = ConditionalProposal::Observed { elsewhere: noise.clone(), noise };
    assert!(models.iter().all(|model| model.check().is_err()));
}

#[test]
fn pretraining_is_a_matter_of_the_step() {
    let model = model();
    assert!(model.pretrains(6) && !model.pretrains(7));
}
