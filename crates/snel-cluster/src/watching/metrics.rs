//! The state as OpenMetrics text, for Prometheus.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric, MetricEncoder,
    NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::coordinator::tallies::{BUCKETS, Histogram, RECOVERY_PARTS, Span};
use crate::watching::state::{RunState, State};

/// What the text is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Phases and states that are always there, so that a zero is a zero and not a gap.
const PHASES: [&str; 6] = ["waiting", "running", "paused", "finished", "cancelled", "failed"];
const STATES: [&str; 5] = ["preparing", "joining", "active", "stopping", "draining"];

/// All metrics.
///
/// # Errors
/// None in fact: strings take what is written.
pub(super) fn text(state: &State) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Metrics(state.clone())));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Metrics(State);

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(state) = self;
        let e = &mut encoder;
        let incarnation = ConstGauge::new(state.incarnation);
        let help = "Starts of a coordinator on this folder, this one included.";
        incarnation.encode(e.encode_descriptor(
            "snel_coordinator_incarnation",
            help,
            None,
            MetricType::Gauge,
        )?)?;
        let mut m = family(e, "snel_runs", "Runs by phase.", MetricType::Gauge)?;
        for phase in PHASES {
            let n = state.runs.iter().filter(|run| run.phase == phase).count();
            gauge(&mut m, &[("phase", phase)], n as u64)?;
        }
        workers(e, state)?;
        steps(e, &state.runs)?;
        times(e, &state.runs)?;
        recoveries(e, &state.runs)
    }
}

fn workers(e: &mut DescriptorEncoder<'_>, state: &State) -> fmt::Result {
    let help = "Workers by run and state; those that wait for work have no run.";
    let mut m = family(e, "snel_workers", help, MetricType::Gauge)?;
    let count = |run: &str, word: &str| {
        state.workers.iter().filter(|w| w.run == run && w.state == word).count() as u64
    };
    for word in ["idle", "draining"] {
        gauge(&mut m, &[("run", ""), ("state", word)], count("", word))?;
    }
    for run in &state.runs {
        for word in STATES {
            gauge(&mut m, &[("run", &run.name), ("state", word)], count(&run.name, word))?;
        }
    }
    let help = "Chunks that a worker sums in a second, smoothed over its rounds.";
    let mut m = family(e, "snel_worker_chunks_per_second", help, MetricType::Gauge)?;
    for w in state.workers.iter().filter(|w| w.chunks_per_second > 0.0) {
        gauge(&mut m, &[("run", &w.run), ("worker", &w.name)], w.chunks_per_second)?;
    }
    let help = "Time since a worker was last heard of.";
    let mut m = family(e, "snel_worker_silence_seconds", help, MetricType::Gauge)?;
    for w in &state.workers {
        gauge(&mut m, &[("run", &w.run), ("worker", &w.name)], w.silent_ms as f64 / 1e3)?;
    }
    Ok(())
}

fn steps(e: &mut DescriptorEncoder<'_>, runs: &[RunState]) -> fmt::Result {
    let help = "Steps committed since the run began, in earlier lives of the coordinator, too.";
    let mut m = family(e, "snel_steps", help, MetricType::Counter)?;
    runs.iter().try_for_each(|r| counter(&mut m, &[("run", &r.name)], r.step))?;
    let help = "Steps that the run is to have.";
    let mut m = family(e, "snel_steps_wanted", help, MetricType::Gauge)?;
    runs.iter().try_for_each(|r| gauge(&mut m, &[("run", &r.name)], r.steps))?;
    let help = "Time from one commit to the next, smoothed: a tenth is the last step.";
    let mut m = family(e, "snel_step_seconds", help, MetricType::Gauge)?;
    runs.iter().try_for_each(|r| gauge(&mut m, &[("run", &r.name)], r.step_ms / 1e3))?;
    let help = "Number of the present membership; rises when a worker joins, leaves or dies.";
    let mut m = family(e, "snel_epoch", help, MetricType::Gauge)?;
    runs.iter().try_for_each(|r| gauge(&mut m, &[("run", &r.name)], r.epoch))?;
    let help = "Steps whose workers disagreed about the state before it. More than 0 is faulty \
                memory or arithmetic.";
    let mut m = family(e, "snel_digest_mismatches", help, MetricType::Counter)?;
    runs.iter().try_for_each(|r| counter(&mut m, &[("run", &r.name)], r.digest_mismatches))?;
    let help = "Bytes of sums without their framing: received from workers, sent to workers.";
    let mut m = family(e, "snel_bytes", help, MetricType::Counter)?;
    for r in runs {
        let both = [("received", r.tallies.received), ("sent", r.tallies.sent)];
        for (direction, bytes) in both {
            counter(&mut m, &[("run", &r.name), ("direction", direction)], bytes)?;
        }
    }
    Ok(())
}

fn times(e: &mut DescriptorEncoder<'_>, runs: &[RunState]) -> fmt::Result {
    let help = "Time in the phases of rounds. compute: first assignment to last contribution; \
                reduce: the coordinator adds the sums; vote: sum sent to commit.";
    let mut m = family(e, "snel_step_phase_seconds", help, MetricType::Counter)?;
    for r in runs {
        for span in Span::ROUND {
            let labels = [("run", &*r.name), ("phase", span.word())];
            counter(&mut m, &labels, r.tallies.seconds[span as usize])?;
        }
    }
    let help = "Time between rounds. waiting: no worker takes part, or none is ready; held: paused \
                by a user.";
    let mut m = family(e, "snel_idle_seconds", help, MetricType::Counter)?;
    for r in runs {
        for span in [Span::Waiting, Span::Held] {
            let labels = [("run", &*r.name), ("phase", span.word())];
            counter(&mut m, &labels, r.tallies.seconds[span as usize])?;
        }
    }
    let help = "Share of the wall time since this coordinator first gave out work of the run, \
                pauses apart, that went into rounds that were committed, without the time from the \
                loss of a worker to the next commit. Repeated rounds and waiting for workers count \
                as lost.";
    let mut m = family(e, "snel_goodput_ratio", help, MetricType::Gauge)?;
    for r in runs {
        if let Some(goodput) = r.tallies.goodput() {
            gauge(&mut m, &[("run", &r.name)], goodput)?;
        }
    }
    Ok(())
}

fn recoveries(e: &mut DescriptorEncoder<'_>, runs: &[RunState]) -> fmt::Result {
    let help = "Recoveries from the loss of a worker.";
    let mut m = family(e, "snel_recoveries", help, MetricType::Counter)?;
    runs.iter().try_for_each(|r| counter(&mut m, &[("run", &r.name)], r.recoveries))?;
    let help = "Time from noticing the loss of a worker to the next commit.";
    let mut m = family(e, "snel_recovery_seconds", help, MetricType::Histogram)?;
    for r in runs {
        let Histogram { counts, sum } = &r.tallies.recoveries;
        let ends = BUCKETS.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = ends.zip(counts.iter().copied()).collect();
        m.encode_family(&[("run", &*r.name)])?.encode_histogram::<NoLabelSet>(
            *sum,
            counts.iter().sum(),
            &buckets,
            None,
        )?;
    }
    let help = "Time of all recoveries. detect: the worker's last message to noticing its loss, \
                which is before the recovery and at most this; compute: from there to the last \
                contribution, waiting for a worker included; reduce; vote: sum sent to commit. \
                Without detect they add up to snel_recovery_seconds_sum.";
    let mut m = family(e, "snel_recovery_phase_seconds", help, MetricType::Counter)?;
    for r in runs {
        for (part, seconds) in RECOVERY_PARTS.iter().zip(r.tallies.recovery_parts) {
            counter(&mut m, &[("run", &r.name), ("phase", part)], seconds)?;
        }
    }
    Ok(())
}

fn family<'a>(
    e: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
    kind: MetricType,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    e.encode_descriptor(name, help, None, kind)
}

fn gauge<N: EncodeGaugeValue>(
    m: &mut MetricEncoder<'_>,
    labels: &[(&str, &str)],
    value: N,
) -> fmt::Result {
    ConstGauge::new(value).encode(m.encode_family(&labels)?)
}

fn counter<N: EncodeCounterValue>(
    m: &mut MetricEncoder<'_>,
    labels: &[(&str, &str)],
    value: N,
) -> fmt::Result {
    ConstCounter::new(value).encode(m.encode_family(&labels)?)
}
