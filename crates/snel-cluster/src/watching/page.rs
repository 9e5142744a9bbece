//! The page: what is known when it is asked for, and a script that keeps it up to date.
//!
//! Elements with `data-f` hold the field of that name ([`super::shown`]); a run's card has
//! `data-run`, a worker's row `data-worker`. The script makes new ones from the templates, which
//! are the same markup of nothing.

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::coordinator::journal::{Happening, Kind};
use crate::watching::shown::{Document, Fields, run_fields, worker_fields};
use crate::watching::state::{RunState, WorkerState};

const STYLE: &str = include_str!("../../assets/watch.css");
const SCRIPT: &str =
    concat!(include_str!("../../assets/watch_chart.js"), include_str!("../../assets/watch.js"));

/// Happenings on the page, at most.
const SHOWN: usize = 100;

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
});

/// What the browser is to allow: this style, this script, this server.
pub(super) fn policy() -> String {
    POLICY.clone()
}

/// The page.
pub(super) fn html(document: &Document) -> String {
    let run = run_card(&run_fields(&RunState::default()), &RunState::default());
    let worker = worker_row(&worker_fields(&WorkerState::default()), "");
    let empty = Happening {
        number: 0,
        at_ms: 0,
        run: String::new(),
        kind: Kind::Note,
        text: String::new(),
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Snel coordinator" }
                // No request for an icon.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Snel coordinator" }
                    p {
                        "version " (document.version) ", start " (document.incarnation) ", "
                        span #live role="status" { "as of " (time(document.now_ms)) }
                    }
                    noscript { p { "Without JavaScript the numbers stay as they are, and there are \
                                    no curves: reload for newer ones." } }
                }
                main {
                    section aria-labelledby="runs-title" {
                        h2 #runs-title { "Runs" }
                        p #no-runs .empty hidden[!document.runs.is_empty()] {
                            "No run yet. " code { "snel run submit CONFIG" } " queues one."
                        }
                        div #runs {
                            @for run in document.runs.iter().rev() {
                                (run_card(&run.shown, &run.run))
                            }
                        }
                    }
                    section aria-labelledby="workers-title" {
                        h2 #workers-title { "Workers" }
                        p #no-workers .empty hidden[!document.workers.is_empty()] {
                            "No worker yet. " code { "snel worker --coordinator URL" } " is one."
                        }
                        table #workers-table hidden[document.workers.is_empty()] {
                            thead { tr {
                                @for (_, head, number) in COLUMNS {
                                    th scope="col" .number[number] { (head) }
                                }
                            } }
                            tbody #workers {
                                @for w in &document.workers {
                                    (worker_row(&w.shown, &w.worker.name))
                                }
                            }
                        }
                    }
                    section aria-labelledby="happenings-title" {
                        h2 #happenings-title { "What happened" }
                        ol #happenings {
                            @for h in document.happenings.iter().flatten().rev().take(SHOWN) {
                                (line(h))
                            }
                        }
                    }
                }
                template #run-template { (run) }
                template #worker-template { (worker) }
                template #happening-template { (line(&empty)) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn run_card(fields: &Fields, run: &RunState) -> Markup {
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    html! {
        article.run data-run=(run.name) data-phase=(run.phase) {
            header {
                h3 data-f="name" { (field("name")) }
                span.phase data-f="phase" { (field("phase")) }
            }
            progress max=(run.steps.max(1)) value=(run.step) aria-label="steps done" {}
            p.step data-f="step" { (field("step")) }
            p.error data-f="error" { (field("error")) }
            dl {
                @for (name, label) in FACTS {
                    div { dt { (label) } dd data-f=(name) { (field(name)) } }
                }
            }
            div.figures hidden {
                figure data-chart="bounds" {
                    figcaption { "Log-likelihood of the validation rows, nats a row: lower and \
                                  upper bound" }
                    div.chart {}
                }
                figure data-chart="ess" {
                    figcaption { "Effective sample size, % of the samples" }
                    div.chart {}
                }
            }
            figure.times data-chart="times" hidden {
                figcaption { "Epochs, losses and recoveries" }
                div.chart {}
            }
        }
    }
}

/// Fields of a run and what they are called.
const FACTS: [(&str, &str); 9] = [
    ("pace", "A step takes"),
    ("workers", "Workers"),
    ("epoch", "Epoch"),
    ("recoveries", "Recoveries"),
    ("goodput", "Goodput"),
    ("lower", "Lower bound, nats"),
    ("upper", "Upper bound, nats"),
    ("ess", "ESS"),
    ("validated", "Validated at"),
];

/// Fields of a worker, their heads, and whether they are numbers.
const COLUMNS: [(&str, &str, bool); 7] = [
    ("name", "Name", false),
    ("host", "Host", false),
    ("state", "State", false),
    ("run", "Run", false),
    ("threads", "Threads", true),
    ("speed", "Chunks/s", true),
    ("silent", "Silent", true),
];

fn worker_row(fields: &Fields, name: &str) -> Markup {
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    html! {
        tr data-worker=(name) {
            @for (name, head, number) in COLUMNS {
                td data-f=(name) data-head=(head) .number[number] { (field(name)) }
            }
        }
    }
}

fn line(happening: &Happening) -> Markup {
    let Happening { number, at_ms, run, kind, text } = happening;
    html! {
        li data-number=(number) data-kind=(kind.word()) {
            time data-ms=(at_ms) { (time(*at_ms)) }
            " " span.kind { (kind.word()) } " " b { (run) } " " span.text { (text) }
        }
    }
}

/// Of the day, where the reader's clock is not known.
fn time(ms: u64) -> String {
    let s = ms / 1000;
    format!("{:02}:{:02}:{:02} UTC", s / 3600 % 24, s / 60 % 60, s % 60)
}
