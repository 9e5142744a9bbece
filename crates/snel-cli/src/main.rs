//! probe
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let config = match snel_train::config::Config::load(args[0].as_ref(), &args[2..]) { Ok(c) => c, Err(e) => { eprintln!("{e}"); return; } };
    struct P; 
    impl snel_train::sink::Sink for P {
        fn record(&mut self, r: &snel_train::metrics::Record) -> Result<(), snel_train::file::FileError> { if let snel_train::metrics::Record::Validation(v) = r { eprintln!("{v:?}"); } else if r.step() % 500 == 0 { eprintln!("{r:?}"); } Ok(()) }
        fn note(&mut self, t: &str) { eprintln!("note {t}"); }
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    let o = snel_train::run::TrainOptions { out: args[1].as_ref(), resume: false, threads: 2, stop: &stop };
    let t0 = std::time::Instant::now();
    match snel_train::run::train(&config, &o, vec![Box::new(P)]) {
        Err(e) => eprintln!("error {e} {e:?}"),
        Ok(t) => { eprintln!("chosen {} in {:?}", t.chosen_step, t0.elapsed());
            let engine = snel_train::run::engine_of(&t.model, 2).unwrap();
            let set = snel_core::engine::SampleSet { stream: snel_core::philox::Stream::Evaluation, step: 0 };
            let e = snel_train::evaluate::evaluate(&engine, &t.setup.dataset.test, set, 1000000, true).unwrap();
            eprintln!("{e:#?} {:?}", t0.elapsed());
        }
    }
}
